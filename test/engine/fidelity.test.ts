import { execFileSync } from "node:child_process";
import { lstatSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { everyVersion, IS_WHOLE, oldestAndNewest, oneOfEach } from "../support/engines.ts";
import { type EngineHost, openEngineHost, textOf } from "./engine-host.ts";

const NANOSECONDS = "2020-01-02 03:04:05.123456789Z";

let host: EngineHost;
afterEach(() => host.close());

describe.each(IS_WHOLE ? [...everyVersion("restic"), ...everyVersion("borg")] : oneOfEach())(
  "$provider $version",
  (engine) => {
    it("restores access lists, times to the nanosecond, and devices", async () => {
      host = await openEngineHost(engine);
      const data = join(host.root, "data");
      const [file, link, device] = ["file", "link", "device"].map((name) => join(data, name)) as [
        string,
        string,
        string,
      ];
      mkdirSync(data);
      writeFileSync(file, "kept");
      execFileSync("setfacl", ["-m", "u:nobody:r", file]);
      execFileSync("setfacl", ["-d", "-m", "u:nobody:rx", data]);
      execFileSync("ln", ["-s", "nowhere", link]);
      execFileSync("mknod", [device, "b", "7", "9"]);
      for (const path of [file, link, device, data]) execFileSync("touch", ["-h", "-d", NANOSECONDS, path]);
      const described = () => ({
        lists: [file, data].map((path) => execFileSync("getfacl", ["-p", "-c", path], { encoding: "utf8" })),
        times: [file, link, device, data].map((path) => lstatSync(path, { bigint: true }).mtimeNs),
        device: lstatSync(device).rdev,
      });
      const before = described();
      expect(before.times).toEqual(Array(4).fill(1_577_934_245_123_456_789n));
      const work = host.work();
      expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
      rmSync(data, { recursive: true });
      expect(await host.restore(work, {})).toMatchObject({ state: "succeeded", stats: { filesMatching: 3 } });
      expect(described()).toEqual(before);
    });
  },
);

describe.each([...oldestAndNewest("restic"), oldestAndNewest("borg")[0]])(
  "of many files $provider $version",
  (engine) => {
    it("writes changed files and no others, or reports that it can't", async () => {
      host = await openEngineHost(engine);
      const files = 5_000;
      const path = (index: number): string => join(host.root, `data/d${index % 5}/file-${index}`);
      for (const directory of Array(5).keys()) mkdirSync(join(host.root, `data/d${directory}`), { recursive: true });
      for (let index = 0; index < files; index++) writeFileSync(path(index), `content ${index}`);
      const work = host.work();
      expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
      const spoil = (every: number): void => {
        for (let index = 0; index < files; index += every) writeFileSync(path(index), "spoiled");
      };
      spoil(100);
      const inode = lstatSync(path(1)).ino;
      const few = await host.restore(work, { overwrite: "if-changed" });
      const counts = { filesRestored: 50, filesSkipped: files - 50, filesMatching: files, filesDiffering: 0 };
      expect(few).toMatchObject({ state: "succeeded", stats: counts });

      spoil(2);
      const many = await host.restore(work, { overwrite: "if-changed", verify: false });
      if (engine.version === "0.14.0") {
        expect(many).toMatchObject({ state: "failed", failure: { code: "engine.refused" } });
        expect(await textOf(path(2))).toBe("spoiled");
      } else {
        expect(many).toMatchObject({ state: "succeeded", stats: { filesRestored: files / 2 } });
        expect(await textOf(path(2))).toBe("content 2");
      }
      expect(lstatSync(path(1)).ino).toBe(inode);
    });
  },
);
