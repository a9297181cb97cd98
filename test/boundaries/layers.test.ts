import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { expect, test } from "vitest";
import { type Program, PROGRAMS } from "./layers.ts";

// Whoever reads a file needs to know what lies below it, and nothing above. Imports of types count as imports.

const root = join(import.meta.dirname, "../..");

interface Import {
  readonly from: string;
  readonly to: string;
}

test.each(PROGRAMS)("no import of $name climbs, but those that are listed with a reason", (program) => {
  const climbing = importsOf(program.name).filter(({ from, to }) => isClimbing(program, { from, to }));
  const named = climbing.map(({ from, to }) => `${from} -> ${to}`).toSorted();
  expect(named).toEqual(program.exceptions.map(({ from, to }) => `${from} -> ${to}`).toSorted());
});

test.each(PROGRAMS)("no files of $name import each other in a circle", ({ name }) => {
  expect(circlesIn(importsOf(name))).toEqual([]);
});

test.each(PROGRAMS)("docs/architecture.md shows the layers of $name", ({ name, layers }) => {
  const page = readFileSync(join(root, "docs/architecture.md"), "utf8");
  const block = new RegExp(`### \`${name}/\`, from the top down\n\n\`\`\`\n([^\`]*)\`\`\``).exec(page)?.[1] ?? "";
  const shown = block
    .trimEnd()
    .split("\n")
    .map((line) => (line.split(/ {2,}/)[0] ?? "").split(" "));
  expect(shown.toReversed()).toEqual(layers);
});

test("a climbing import and a circle are found", () => {
  const program: Program = { name: "x", layers: [["low"], ["high"]], exceptions: [] };
  expect(isClimbing(program, { from: "x/low/a.ts", to: "x/high.ts" })).toBe(true);
  expect(isClimbing(program, { from: "x/high.ts", to: "x/low/a.ts" })).toBe(false);
  expect(() => isClimbing(program, { from: "x/elsewhere/a.ts", to: "x/low/a.ts" })).toThrow(/no layer/);
  const circle = [
    { from: "a", to: "b" },
    { from: "b", to: "c" },
    { from: "c", to: "b" },
  ];
  expect(circlesIn(circle)).toEqual(["b -> c -> b"]);
});

/** Both ways of two names on one line climb: neither lies below the other. */
function isClimbing(program: Program, { from, to }: Import): boolean {
  const [source, target] = [placeOf(program, from), placeOf(program, to)];
  if (source.place === target.place) return false;
  return source.layer <= target.layer;
}

/** The longest name that fits: `domain/runs` before `domain`. */
function placeOf({ name, layers }: Program, file: string): { place: string; layer: number } {
  const fitting = layers.flatMap((places, layer) =>
    places
      .filter((place) => file === `${name}/${place}.ts` || file.startsWith(`${name}/${place}/`))
      .map((place) => ({ place, layer })),
  );
  const [longest] = fitting.toSorted((one, other) => other.place.length - one.place.length);
  if (longest === undefined) throw new Error(`${file} is in no layer: add it to test/boundaries/layers.ts`);
  return longest;
}

/** All imports and re-exports between files of one program. */
function importsOf(program: string): Import[] {
  const files = readdirSync(join(root, program), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join(program, name));
  return files.flatMap((from) => {
    const text = readFileSync(join(root, from), "utf8");
    const specifiers = [...text.matchAll(/(?:\bfrom|\bimport\(|^import) ?"(\.[^"]+)"/gm)].map(([, path = ""]) => path);
    return specifiers
      .map((path) => relative(root, join(root, dirname(from), path)))
      .filter((to) => files.includes(to))
      .map((to) => ({ from, to }));
  });
}

/** Each circle once, beginning with the file that is met first. */
function circlesIn(imports: readonly Import[]): string[] {
  const next = Map.groupBy(imports, ({ from }) => from);
  const done = new Set<string>();
  const circles: string[] = [];
  const walk = (file: string, path: readonly string[]): void => {
    const at = path.indexOf(file);
    if (at >= 0) circles.push([...path.slice(at), file].join(" -> "));
    if (at >= 0 || done.has(file)) return;
    for (const { to } of next.get(file) ?? []) walk(to, [...path, file]);
    done.add(file);
  };
  for (const file of next.keys()) walk(file, []);
  return circles;
}
