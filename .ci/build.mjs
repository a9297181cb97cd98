// Bundles the two programs into dist/ (or the folder given as an argument) and says what is inside:
// one line of JSON with bytes and package names per bundle, which test/boundaries/bundles.test.ts reads.
import { chmodSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const root = join(import.meta.dirname, "..");
const out = process.argv[2] ?? join(root, "dist");

// What esbuild leaves of CommonJS packages still asks for Node's modules with require().
const requireBanner =
  'import { createRequire as createRequireForBundle } from "node:module";\nconst require = createRequireForBundle(import.meta.url);';

const programs = [
  // libsql loads native code from the package beside it, so it stays in node_modules.
  { file: "holdfast.mjs", entry: "control/cli/main.ts", external: ["libsql"] },
  { file: "agent.mjs", entry: "agent/main.ts", external: [] },
];

const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
mkdirSync(out, { recursive: true });
try {
  const summary = await Promise.all(programs.map(bundle));
  process.stdout.write(`${JSON.stringify(Object.fromEntries(summary))}\n`);
} catch {
  // esbuild has said what is wrong.
  process.exitCode = 1;
}

async function bundle({ file, entry, external }) {
  const outfile = join(out, file);
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: "node",
    target: "node22",
    format: "esm",
    external,
    define: { HOLDFAST_VERSION: JSON.stringify(version) },
    banner: { js: `#!/usr/bin/env node\n${requireBanner}` },
    legalComments: "linked",
    metafile: true,
    logLevel: "warning",
  });
  chmodSync(outfile, 0o755);
  const output = Object.entries(metafile.outputs).find(([name]) => name.endsWith(file))?.[1];
  if (output === undefined) throw new Error(`esbuild wrote no ${file}`);
  const names = Object.entries(output.inputs)
    .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
    .map(([input]) => packageOf(input))
    .filter((name) => name !== undefined);
  const kept = output.imports.filter(({ external: isExternal }) => isExternal).map(({ path }) => path);
  return [
    file,
    {
      bytes: output.bytes,
      packages: [...new Set(names)].sort(),
      external: [...new Set(kept)].filter((name) => !name.startsWith("node:") && external.includes(name)).sort(),
    },
  ];
}

/** `@scope/name` of a file under node_modules, undefined for our own. */
function packageOf(input) {
  const parts = input.split("node_modules/").at(-1)?.split("/") ?? [];
  if (!input.includes("node_modules/")) return undefined;
  return parts[0]?.startsWith("@") ? `${parts[0]}/${parts[1]}` : parts[0];
}
