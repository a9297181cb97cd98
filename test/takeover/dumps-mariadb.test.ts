import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../support/on-disk.ts";
import { dumpServer, loadDump } from "../../agent/consistency/dumps.ts";
import { type Server, startMariadb } from "../consistency/servers.ts";
import { context, marksForThisFile } from "./dump-context.ts";

// The same as dumps.test.ts, for MariaDB.

const marks = marksForThisFile();

describe("a crafted dump of MariaDB", () => {
  let server: Server;
  const entry = (): { mariadb: string; socket: string } => ({ mariadb: "app", socket: server.socket });
  let honest: string;
  beforeAll(async () => {
    server = await startMariadb();
    server.sql("", "CREATE DATABASE app; CREATE DATABASE other; CREATE TABLE other.t (n int)");
    server.sql("", "CREATE USER app@'%' IDENTIFIED BY 'x'; GRANT ALL ON app.* TO app@'%'");
    server.sql("app", "CREATE TABLE t (n int PRIMARY KEY, text text); INSERT INTO t VALUES (1, 'one')");
    await dumpServer(context, { entry: entry(), directory: marks, before: 0 });
    honest = readFileSync(join(marks, "mariadb-0-app.sql"), "latin1");
  });
  afterAll(() => server.stop());

  const load = async (text: string, database: string | null = "app"): Promise<string[]> => {
    const file = join(marks, "crafted.sql");
    writeFileSync(file, text, "latin1");
    return await loadDump(context, {
      entry: entry(),
      dump: { server: "mariadb", database, file: "crafted.sql" },
      file,
    });
  };
  const ran = (): string => join(marks, "ran");

  const CLIENT: [string, (ran: string) => string][] = [
    ["system", (mark) => `system id >${mark}`],
    ["\\!", (mark) => `\\! id >${mark}`],
    ["\\! behind a statement", (mark) => `SET @x = @@y \\! id >${mark}\n;`],
    ["source", (mark) => `source ${mark}-script`],
    ["\\. of a file", (mark) => `\\. ${mark}-script`],
    ["tee", (mark) => `tee ${mark}`],
    ["\\T", (mark) => `\\T ${mark}`],
    ["pager", (mark) => `pager cat >${mark}`],
    ["edit", (mark) => `edit ${mark}`],
    ["a delimiter", (mark) => `delimiter system\nSET @x = @@y system\nsystem id >${mark}`],
    ["a delimiter in the middle of a line", (mark) => `SET @x = @@y; delimiter //\nsystem id >${mark}\n//`],
    ["a comment that the server executes", (mark) => `/*!40101 SET @x = @@y; \\! id >${mark}\n */;`],
    ["a comment that only some execute", (mark) => `/*!99999 ' */ system id >${mark}\n/*!99999 ' */;`],
    [
      "a string in another mode",
      (mark) => `SET sql_mode = 'NO_BACKSLASH_ESCAPES';\nINSERT INTO t VALUES (2, '\\' \\! id >${mark}\n');`,
    ],
    [
      "a string in another mode that is put together",
      (mark) =>
        `SET @m = 'NO_BACKSLASH_ESCAPES'; SET sql_mode = @m;\nINSERT INTO t VALUES (2, '\\' \\! id >${mark}\n');`,
    ],
    [
      "a string in another encoding",
      (mark) => `SET NAMES gbk;\nINSERT INTO t VALUES (2, '\u00bf\\' \\! id >${mark}\n');`,
    ],
    ["LOAD DATA LOCAL", () => "LOAD DATA LOCAL INFILE '/etc/shadow' INTO TABLE t;"],
    ["the sandbox line in the middle", (mark) => `SET @x = @@y /*M!999999\\- x */ \\! id >${mark}\n;`],
  ];

  it.each(CLIENT)("makes the client run nothing by %s, and nothing is dropped", async (_name, attack) => {
    writeFileSync(`${ran()}-script`, `\\! id >${ran()}\n`);
    await expect(load(`${attack(ran())}\n${honest}`)).rejects.toMatchObject({ failure: { code: "database.failed" } });
    await expect(load(`${honest}\n${attack(ran())}\n`)).rejects.toMatchObject({ failure: { code: "database.failed" } });
    expect(existsSync(ran())).toBe(false);
    expect(server.sql("app", "SELECT text FROM t")).toBe("one");
  });

  const SERVER: [string, RegExp, string][] = [
    ["INTO OUTFILE", /nothing that a dump holds/, "SELECT 'x' INTO OUTFILE '@RAN@';"],
    ["INTO OUTFILE in an INSERT", /Access denied|syntax/, "INSERT INTO t SELECT 2, 'x' INTO OUTFILE '@RAN@';"],
    ["LOAD_FILE", /null|^$/i, "INSERT INTO t VALUES (2, coalesce(LOAD_FILE('/etc/passwd'), 'null'));"],
    ["a function in a library", /denied/, "CREATE FUNCTION sys_exec RETURNS INT SONAME 'lib_mysqludf_sys.so';"],
    ["another database", /denied/, "INSERT INTO other.t VALUES (1);"],
    ["the server's own tables", /denied/, "INSERT INTO mysql.plugin VALUES ('x', 'y');"],
    ["a grant", /nothing that a dump holds/, "GRANT ALL ON *.* TO app@'%';"],
    [
      "a grant put together",
      /nothing that a dump holds/,
      "EXECUTE IMMEDIATE CONCAT('GR', 'ANT ALL ON *.* TO app@localhost');",
    ],
    ["a global setting", /changes how a dump is read/, "SET GLOBAL general_log_file = '@RAN@';"],
    [
      "an event of root's",
      /^$/,
      "/*!50106 CREATE*/ /*!50117 DEFINER=`root`@`localhost`*/ /*!50106 EVENT `e` ON SCHEDULE EVERY 1 SECOND DO GRANT ALL ON *.* TO app@'%' */;",
    ],
    [
      "a view of root's",
      /ANY command denied/,
      "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`root`@`localhost` SQL SECURITY DEFINER */\n/*!50001 VIEW `v` AS SELECT * FROM mysql.global_priv */;",
    ],
    [
      "a routine of root's, spelled otherwise",
      /denied/,
      "CREATE /* x */ DEFINER = 'root'@'localhost' PROCEDURE p() GRANT ALL ON *.* TO app@'%';",
    ],
    [
      "two statements in one program",
      /error/i,
      "DELIMITER ;;\nCREATE DEFINER=`app`@`%` PROCEDURE `p`() SELECT 1; CREATE DEFINER=`root`@`localhost` PROCEDURE `q`() SELECT 1;;\nDELIMITER ;",
    ],
  ];

  it.each(SERVER)("makes the server do nothing by %s", async (_name, said, attack) => {
    server.sql("", "SET GLOBAL event_scheduler = ON");
    const before = server.sql("", "SHOW GRANTS FOR app@'%'");
    const outcome = await load(`${honest}\nUSE app;\n${attack.replace("@RAN@", ran())}\n`).then(() => "", String);
    expect(outcome).toMatch(said);
    expect(existsSync(ran())).toBe(false);
    expect(server.sql("", "SHOW GRANTS FOR app@'%'")).toBe(before);
    expect(server.sql("", "SELECT count(*) FROM other.t")).toBe("0");
    expect(server.sql("", "SELECT count(*) FROM mysql.event WHERE definer LIKE 'root%'")).toBe("0");
    expect(server.sql("", "SELECT count(*) FROM mysql.proc WHERE db = 'app' AND definer LIKE 'root%'")).toBe("0");
    expect(
      server.sql(
        "",
        "SELECT count(*) FROM information_schema.views WHERE table_schema = 'app' AND definer LIKE 'root%'",
      ),
    ).toBe("0");
    expect(server.sql("", "SELECT count(*) FROM mysql.user WHERE user LIKE 'holdfast_load%'")).toBe("0");
    expect(server.sql("app", "SELECT text FROM t WHERE n = 1")).toBe("one");
  });

  it("gives back what is stored in an honest one, each with its definer", async () => {
    const program =
      "CREATE DEFINER=app@'%' SQL SECURITY DEFINER VIEW a AS SELECT n, '*/ ; \\\\' AS x FROM t; CREATE VIEW b AS SELECT * FROM a";
    server.sql("app", program);
    server.sql(
      "app",
      "DELIMITER $$\nCREATE PROCEDURE p() BEGIN SELECT 'é; \\' $'; SELECT 2; END$$\nCREATE DEFINER=app@'%' TRIGGER tr BEFORE INSERT ON t FOR EACH ROW BEGIN SET NEW.text = concat(NEW.text, '; -- #'); END$$\nCREATE EVENT ev ON SCHEDULE EVERY 1 DAY DO BEGIN SELECT 1; END$$\nSET sql_mode = 'ANSI_QUOTES'$$\nCREATE DEFINER=app@'%' FUNCTION f() RETURNS int RETURN (SELECT \"n\" FROM t LIMIT 1)$$\n",
    );
    const stored = (): string =>
      server.sql(
        "",
        "SELECT name, definer, body_utf8, sql_mode FROM mysql.proc WHERE db = 'app' UNION ALL SELECT name, definer, body_utf8, sql_mode FROM mysql.event UNION ALL SELECT trigger_name, definer, action_statement, sql_mode FROM information_schema.triggers WHERE trigger_schema = 'app' UNION ALL SELECT table_name, definer, view_definition, security_type FROM information_schema.views WHERE table_schema = 'app'",
      );
    const before = stored();
    expect(before).toContain("root@localhost");
    const dumps = await dumpServer(context, { entry: entry(), directory: marks, before: 1 });
    const text = readFileSync(join(marks, dumps[0]?.file ?? ""), "latin1");
    server.sql("app", "DELETE FROM t");
    expect(await load(text)).toEqual([]);
    expect(stored()).toBe(before);
    // On a server that has lost it, nobody can say whether root had made it.
    server.sql("", "DROP DATABASE app");
    expect(await load(text)).toEqual([
      expect.stringMatching(/3 views, triggers, routines or events are now defined by/),
    ]);
    expect(stored()).toBe(before.replaceAll("root@localhost", "holdfast_app@localhost"));
    expect(server.sql("app", "SELECT text FROM t; SELECT f()")).toBe("one\n1");
  });

  it("of the accounts gives nobody rights over the server", async () => {
    server.sql(
      "",
      "CREATE ROLE r; GRANT SELECT ON app.* TO r; GRANT r TO app@'%'; CREATE USER boss@localhost; GRANT ALL ON *.* TO boss@localhost",
    );
    const dumps = await dumpServer(context, { entry: { ...entry(), mariadb: "*" }, directory: marks, before: 2 });
    const text = readFileSync(join(marks, dumps[0]?.file ?? ""), "latin1");
    const grants = server.sql("", "SHOW GRANTS FOR app@'%'");
    server.sql("", "DROP USER app@'%', boss@localhost; DROP ROLE r");
    const [warning] = await load(text, null);
    expect(warning).toContain("GRANT ALL PRIVILEGES ON *.* TO `boss`@`localhost`");
    expect(server.sql("", "SHOW GRANTS FOR app@'%'")).toBe(grants);
    expect(server.sql("", "SHOW GRANTS FOR boss@localhost")).toBe("GRANT USAGE ON *.* TO `boss`@`localhost`");
    for (const evil of [
      "DROP USER app@'%'",
      "INSTALL SONAME 'x'",
      "GRANT ALL ON mysql.* TO `app`@`%` IDENTIFIED BY 'x'",
      "system id",
    ])
      await expect(load(`${text}\n${evil};\n`, null)).rejects.toThrow("is nothing about accounts");
  });
});
