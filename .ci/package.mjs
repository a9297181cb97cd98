// Makes dist/install: dist/agent.mjs and a Bun runtime in one executable file per target, whole and in compressed parts,
// and their SHA256SUMS. Makes dist/assets: of that, what a Worker serves, where no file may be larger than 25 MiB.
// Bun comes from the npm registry, pinned by digest; nothing else is downloaded.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { BUN, targets } from "./bun.mjs";

const PART_BYTES = 20 * 1024 * 1024;
const root = join(import.meta.dirname, "..");
const cache = join(root, "node_modules/.cache/bun");
const install = join(root, "dist/install");
const assets = join(root, "dist/assets");

if (process.platform !== "linux" || !(process.arch in targets)) {
  throw new Error(`the agent is packaged on Linux x64 or arm64, not on ${process.platform} ${process.arch}`);
}
mkdirSync(cache, { recursive: true });
mkdirSync(join(root, "dist"), { recursive: true });
const work = mkdtempSync(join(root, "dist/package-"));
try {
  const compiler = runtime(targets[process.arch]);
  const whole = Object.keys(targets).map((arch) => `holdfast-agent-linux-${arch}`);
  for (const [arch, target] of Object.entries(targets)) {
    compile(compiler, target, join(work, `holdfast-agent-linux-${arch}`));
  }
  const parts = whole.flatMap(split);
  const sums = [...whole, ...parts].map((file) => `${sha256(join(work, file))}  ${file}\n`);
  writeFileSync(join(work, "install.sh"), script());
  writeFileSync(join(work, "SHA256SUMS"), sums.join(""));
  rmSync(install, { recursive: true, force: true });
  rmSync(assets, { recursive: true, force: true });
  mkdirSync(join(assets, "install"), { recursive: true });
  for (const file of [...parts, "install.sh", "SHA256SUMS"]) linkSync(join(work, file), join(assets, "install", file));
  renameSync(work, install);
  chmodSync(install, 0o755);
  process.stdout.write(sums.join(""));
} finally {
  rmSync(work, { recursive: true, force: true });
}

function compile(compiler, { bun, target, integrity }, outfile) {
  const flags = [
    // A file in whatever directory root happens to stand in must not configure the agent.
    "--no-compile-autoload-dotenv",
    "--no-compile-autoload-bunfig",
    `--target=${target}`,
    `--compile-executable-path=${runtime({ bun, integrity })}`,
  ];
  execFileSync(compiler, ["build", "--compile", ...flags, join(root, "dist/agent.mjs"), `--outfile=${outfile}`], {
    cwd: work,
    stdio: ["ignore", "ignore", "inherit"],
  });
  chmodSync(outfile, 0o755);
}

/** Compresses a file into parts `NAME.gz.00`, `NAME.gz.01`, …. @returns their names */
function split(file) {
  const packed = gzipSync(readFileSync(join(work, file)));
  return Array.from({ length: Math.ceil(packed.length / PART_BYTES) }, (_, index) => {
    const name = `${file}.gz.${String(index).padStart(2, "0")}`;
    writeFileSync(join(work, name), packed.subarray(index * PART_BYTES, (index + 1) * PART_BYTES));
    return name;
  });
}

/** install.sh with the unit inside: one download, and it can't be a unit of another version. */
function script() {
  const unit = readFileSync(join(root, "agent/install/holdfast-agent.service"), "utf8").trimEnd();
  return readFileSync(join(root, "agent/install/install.sh"), "utf8").replace("@UNIT@", () => unit);
}

/** Path of a Bun executable, fetched and unpacked when it is not in the cache yet. */
function runtime({ bun, integrity }) {
  const directory = join(cache, `${bun.split("/")[1]}-${BUN}`);
  const executable = join(directory, "package/bin/bun");
  if (existsSync(executable)) return executable;
  const tarball = `${bun.slice(1).replace("/", "-")}-${BUN}.tgz`;
  execFileSync("npm", ["pack", "--silent", "--ignore-scripts", `${bun}@${BUN}`], {
    cwd: cache,
    stdio: ["ignore", "ignore", "inherit"],
  });
  const digest = `sha512-${createHash("sha512")
    .update(readFileSync(join(cache, tarball)))
    .digest("base64")}`;
  if (digest !== integrity) {
    rmSync(join(cache, tarball));
    throw new Error(`${bun}@${BUN} from the registry is not the file pinned here: ${digest}`);
  }
  const unpacked = mkdtempSync(join(cache, "unpack-"));
  execFileSync("tar", ["-xzf", join(cache, tarball), "-C", unpacked]);
  rmSync(directory, { recursive: true, force: true });
  renameSync(unpacked, directory);
  rmSync(join(cache, tarball));
  return executable;
}

function sha256(file) {
  return createHash("sha256").update(readFileSync(file)).digest("hex");
}
