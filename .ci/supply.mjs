// Says what the programs are made of, from package-lock.json and node_modules alone (no network). Writes
//   docs/licences.md           every package that is installed to run Holdfast, and its licence
//   dist/install/sbom.cdx.json the same as a software bill of materials (CycloneDX), and what the packaged agent holds
//   dist/install/third-party.txt the licences' texts of everything inside the bundles
// An argument is another folder for all three.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BUN, targets } from "./bun.mjs";

const root = join(import.meta.dirname, "..");
const [folder] = process.argv.slice(2);
const [docs, dist] = folder === undefined ? [join(root, "docs"), join(root, "dist/install")] : [folder, folder];

const read = (path) => JSON.parse(readFileSync(join(root, path), "utf8"));
const { version } = read("package.json");
const bundles = read("test/boundaries/packages.json");

const installed = Object.entries(read("package-lock.json").packages)
  .filter(([path, { dev, devOptional, link }]) => path !== "" && !dev && !devOptional && !link)
  .map(([path, entry]) => ({ name: path.split("node_modules/").at(-1), path, ...entry }))
  .toSorted((a, b) => (a.name === b.name ? (a.version < b.version ? -1 : 1) : a.name < b.name ? -1 : 1));

mkdirSync(dist, { recursive: true });
writeFileSync(join(docs, "licences.md"), licences());
writeFileSync(join(dist, "sbom.cdx.json"), `${JSON.stringify(materials(), null, 1)}\n`);
writeFileSync(join(dist, "third-party.txt"), texts());

function licences() {
  const rows = installed.map(
    ({ name, version: of, license }) => `| \`${name}\` | ${of} | ${license} | ${placesOf(name).join(", ")} |`,
  );
  return `# What Holdfast is made of, and its licences

<!-- Made from package-lock.json by \`npm run supply\`: don't edit. -->

Holdfast itself is under the MIT licence. This is everything that \`npm ci --omit=dev\` installs; the last column says what is inside the two programs. The packaged agent also
holds Bun ${BUN} (MIT; its own parts: <https://bun.com/docs/project/licensing>). \`npm run package\` writes the texts and a bill of materials (\`sbom.cdx.json\`, CycloneDX) beside the agent, in \`dist/install\`.

| package | version | licence | inside |
|---|---|---|---|
${rows.join("\n")}
`;
}

/** Which of our programs a package is inside. */
function placesOf(name) {
  return Object.entries(bundles).flatMap(([file, { packages, external }]) =>
    packages.includes(name) || external.includes(name) ? [file.replace(".mjs", "")] : [],
  );
}

/**
 * CycloneDX 1.5. Written here, since `npm sbom --omit=dev` (npm 11) leaves out what a development dependency needs too:
 * zod, of all things.
 */
function materials() {
  const components = [...installed.map(component), ...Object.values(targets).map(bun)];
  const dependencies = installed.map(({ path, ...entry }) => ({
    ref: refOf(entry),
    dependsOn: Object.keys({ ...entry.dependencies, ...entry.optionalDependencies })
      .map((name) => found(name, path))
      .filter((entryOf) => entryOf !== undefined)
      .map(refOf),
  }));
  return {
    $schema: "http://cyclonedx.org/schema/bom-1.5.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.5",
    serialNumber: `urn:uuid:${uuidOf(JSON.stringify(components))}`,
    version: 1,
    metadata: { component: { "bom-ref": `holdfast@${version}`, type: "application", name: "holdfast", version } },
    components,
    dependencies,
  };
}

function refOf({ name, version: of }) {
  return `${name}@${of}`;
}

/** The package that a name means to the package at that path: the nearest node_modules up from it. */
function found(name, path) {
  for (let at = `${path}/`; ; at = at.replace(/node_modules\/(@[^/]+\/)?[^/]+\/$/, "")) {
    const entry = installed.find((each) => each.path === `${at}node_modules/${name}`);
    if (entry !== undefined || at === "") return entry;
  }
}

function component({ name, version: of, integrity, license, optional }) {
  return {
    "bom-ref": `${name}@${of}`,
    type: "library",
    name,
    version: of,
    scope: optional ? "optional" : "required",
    purl: `pkg:npm/${name.replace("@", "%40")}@${of}`,
    hashes: [sha512(integrity)],
    licenses: [/ OR /.test(license) ? { expression: license } : { license: { id: license } }],
  };
}

function bun({ bun: name, integrity }) {
  return { ...component({ name, version: BUN, integrity, license: "MIT" }), type: "platform" };
}

function sha512(integrity) {
  return { alg: "SHA-512", content: Buffer.from(integrity.replace("sha512-", ""), "base64").toString("hex") };
}

/** The same materials have the same number. */
function uuidOf(text) {
  const hex = createHash("sha256").update(text).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

function texts() {
  return installed
    .filter(({ name, path }) => placesOf(name).length > 0 && existsSync(join(root, path)))
    .map(({ name, path, version: of, license }) => {
      const file = readdirSync(join(root, path)).find((each) => /^(licen[cs]e|copying)/i.test(each));
      const text =
        file === undefined ? `(${license}; the package has no text)` : readFileSync(join(root, path, file), "utf8");
      return `${name} ${of}\n${"-".repeat(40)}\n${text.trim()}\n`;
    })
    .join("\n\n");
}
