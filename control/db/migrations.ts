// Written by .ci/migrations.mjs from ./migrations/*.sql: change ./schema/ instead.

export interface Migration {
  readonly tag: string;
  /** Milliseconds since 1970; the order they run in. */
  readonly when: number;
  /** Hex SHA-256 of the file, as drizzle-kit records it. */
  readonly hash: string;
  readonly statements: readonly string[];
}

// oxfmt-ignore
export const MIGRATIONS: readonly Migration[] = [
  {
    "tag": "0000_create_tables",
    "when": 1795430584563,
    "hash": "47d77a6e0d07be074d135f209503ec26ed2c689a9bfb12ad62c2ad6f2037aecd",
    "statements": [
      "CREATE TABLE `bindings` (\n\t`id` text PRIMARY KEY NOT NULL,\n\t`host` text NOT NULL,\n\t`name` text NOT NULL,\n\t`contract` text NOT NULL,\n\t`repository` text NOT NULL,\n\t`settings` text NOT NULL,\n\t`paused` integer DEFAULT false NOT NULL,\n\t`listedBy` text,\n\t`createdAt` text NOT NULL,\n\t`changedAt` text NOT NULL,\n\tFOREIGN KEY (`host`) REFERENCES `hosts`(`id`) ON UPDATE no action ON DELETE no action,\n\tFOREIGN KEY (`contract`) REFERENCES `contracts`(`id`) ON UPDATE no action ON DELETE no action,\n\tFOREIGN KEY (`repository`) REFERENCES `repositories`(`id`) ON UPDATE no action ON DELETE no action\n);",
      "CREATE UNIQUE INDEX `bindings_host_name` ON `bindings` (`host`,`name`);",
      "CREATE UNIQUE INDEX `bindings_contract_repository` ON `bindings` (`contract`,`repository`);",
      "CREATE INDEX `bindings_repository` ON `bindings` (`repository`);",
      "CREATE TABLE `channels` (\n\t`id` text PRIMARY KEY NOT NULL,\n\t`name` text NOT NULL,\n\t`kind` text NOT NULL,\n\t`url` text NOT NULL,\n\t`secret` text NOT NULL,\n\t`events` text,\n\t`enabled` integer NOT NULL,\n\t`createdAt` text NOT NULL,\n\t`changedAt` text NOT NULL\n);",
      "CREATE UNIQUE INDEX `channels_name_unique` ON `channels` (`name`);",
      "CREATE TABLE `contracts` (\n\t`id` text PRIMARY KEY NOT NULL,\n\t`host` text NOT NULL,\n\t`name` text NOT NULL,\n\t`kind` text NOT NULL,\n\t`request` text NOT NULL,\n\t`createdAt` text NOT NULL,\n\t`changedAt` text NOT NULL,\n\tFOREIGN KEY (`host`) REFERENCES `hosts`(`id`) ON UPDATE no action ON DELETE no action\n);",
      "CREATE UNIQUE INDEX `contracts_host_name` ON `contracts` (`host`,`name`);",
      "CREATE TABLE `deliveries` (\n\t`id` text PRIMARY KEY NOT NULL,\n\t`channel` text NOT NULL,\n\t`type` text NOT NULL,\n\t`payload` text NOT NULL,\n\t`state` text DEFAULT 'pending' NOT NULL,\n\t`attempts` integer DEFAULT 0 NOT NULL,\n\t`nextAttemptAt` text,\n\t`leaseUntil` text,\n\t`leaseOwner` text,\n\t`lastStatus` integer,\n\t`lastError` text,\n\t`createdAt` text NOT NULL,\n\t`deliveredAt` text\n);",
      "CREATE INDEX `deliveries_due` ON `deliveries` (`nextAttemptAt`) WHERE \"deliveries\".\"nextAttemptAt\" is not null;",
      "CREATE INDEX `deliveries_channel` ON `deliveries` (`channel`,`id`);",
      "CREATE TABLE `enrollments` (\n\t`id` text PRIMARY KEY NOT NULL,\n\t`name` text,\n\t`hash` text NOT NULL,\n\t`uses` integer NOT NULL,\n\t`usesLeft` integer NOT NULL,\n\t`expiresAt` text NOT NULL,\n\t`createdAt` text NOT NULL\n);",
      "CREATE UNIQUE INDEX `enrollments_hash_unique` ON `enrollments` (`hash`);",
      "CREATE INDEX `enrollments_expiry` ON `enrollments` (`expiresAt`);",
      "CREATE TABLE `guards` (\n\t`holds` integer NOT NULL,\n\tCONSTRAINT \"guard_holds\" CHECK(\"guards\".\"holds\" = 1)\n);",
      "CREATE TABLE `hosts` (\n\t`id` text PRIMARY KEY NOT NULL,\n\t`name` text NOT NULL,\n\t`publicKey` text NOT NULL,\n\t`audience` text NOT NULL,\n\t`enrollment` text NOT NULL,\n\t`facts` text,\n\t`revision` integer DEFAULT 0 NOT NULL,\n\t`reportCount` integer DEFAULT 0 NOT NULL,\n\t`connectionId` text,\n\t`connectedAt` text,\n\t`lastSeenAt` text,\n\t`revokedAt` text,\n\t`createdAt` text NOT NULL\n);",
      "CREATE UNIQUE INDEX `hosts_name_unique` ON `hosts` (`name`);",
      "CREATE UNIQUE INDEX `hosts_publicKey_unique` ON `hosts` (`publicKey`);",
      "CREATE TABLE `orders` (\n\t`id` text PRIMARY KEY NOT NULL,\n\t`host` text NOT NULL,\n\t`kind` text NOT NULL,\n\t`run` text NOT NULL,\n\t`binding` text NOT NULL,\n\t`restore` text,\n\t`issuedAt` text NOT NULL,\n\t`expiresAt` text NOT NULL,\n\t`closedAt` text,\n\tFOREIGN KEY (`host`) REFERENCES `hosts`(`id`) ON UPDATE no action ON DELETE no action\n);",
      "CREATE INDEX `orders_open` ON `orders` (`host`,`id`) WHERE \"orders\".\"closedAt\" is null;",
      "CREATE INDEX `orders_expiry` ON `orders` (`expiresAt`) WHERE \"orders\".\"closedAt\" is null;",
      "CREATE INDEX `orders_run` ON `orders` (`run`);",
      "CREATE TABLE `refusals` (\n\t`id` text PRIMARY KEY NOT NULL,\n\t`host` text NOT NULL,\n\t`at` text NOT NULL,\n\t`code` text NOT NULL,\n\t`subject` text NOT NULL,\n\t`message` text NOT NULL\n);",
      "CREATE INDEX `refusals_host` ON `refusals` (`host`,`id`);",
      "CREATE TABLE `repositories` (\n\t`id` text PRIMARY KEY NOT NULL,\n\t`name` text NOT NULL,\n\t`provider` text NOT NULL,\n\t`location` text NOT NULL,\n\t`passphrase` text NOT NULL,\n\t`secrets` text NOT NULL,\n\t`existing` integer NOT NULL,\n\t`engineId` text,\n\t`host` text,\n\t`createdAt` text NOT NULL,\n\t`changedAt` text NOT NULL,\n\tFOREIGN KEY (`host`) REFERENCES `hosts`(`id`) ON UPDATE no action ON DELETE no action\n);",
      "CREATE UNIQUE INDEX `repositories_name_unique` ON `repositories` (`name`);",
      "CREATE TABLE `runs` (\n\t`id` text PRIMARY KEY NOT NULL,\n\t`host` text NOT NULL,\n\t`binding` text NOT NULL,\n\t`kind` text NOT NULL,\n\t`trigger` text NOT NULL,\n\t`state` text NOT NULL,\n\t`sequence` integer DEFAULT 0 NOT NULL,\n\t`scheduledAt` text,\n\t`queuedAt` text,\n\t`startedAt` text,\n\t`finishedAt` text,\n\t`snapshot` text,\n\t`failure` text,\n\t`warnings` text NOT NULL,\n\t`stats` text,\n\t`progress` text,\n\t`log` text DEFAULT '' NOT NULL\n);",
      "CREATE INDEX `runs_host` ON `runs` (`host`,`id`);",
      "CREATE INDEX `runs_binding_kind` ON `runs` (`binding`,`kind`,`id`);",
      "CREATE INDEX `runs_state` ON `runs` (`state`,`id`);",
      "CREATE TABLE `snapshots` (\n\t`id` text PRIMARY KEY NOT NULL,\n\t`snapshot` text NOT NULL,\n\t`host` text NOT NULL,\n\t`binding` text NOT NULL,\n\t`repository` text NOT NULL,\n\t`run` text,\n\t`takenAt` text NOT NULL,\n\t`paths` text NOT NULL,\n\t`bytesTotal` integer\n);",
      "CREATE UNIQUE INDEX `snapshots_binding_snapshot` ON `snapshots` (`binding`,`snapshot`);",
      "CREATE INDEX `snapshots_snapshot` ON `snapshots` (`snapshot`);",
      "CREATE INDEX `snapshots_repository` ON `snapshots` (`repository`,`id`);",
      "CREATE INDEX `snapshots_host` ON `snapshots` (`host`,`id`);",
      "CREATE TABLE `tokens` (\n\t`id` text PRIMARY KEY NOT NULL,\n\t`name` text NOT NULL,\n\t`scope` text NOT NULL,\n\t`hash` text NOT NULL,\n\t`expiresAt` text,\n\t`lastUsedAt` text,\n\t`createdAt` text NOT NULL\n);",
      "CREATE UNIQUE INDEX `tokens_name_unique` ON `tokens` (`name`);",
      "CREATE UNIQUE INDEX `tokens_hash_unique` ON `tokens` (`hash`);"
    ]
  },
  {
    "tag": "0001_add_consistency_detections_repository_runs",
    "when": 1795600694859,
    "hash": "d715ea5a7f10b8a1a82d68ac14497e28a24e1a61ad53b98b57aed06330d22874",
    "statements": [
      "CREATE TABLE `detections` (\n\t`id` text PRIMARY KEY NOT NULL,\n\t`host` text NOT NULL,\n\t`entry` text NOT NULL,\n\t`layout` text NOT NULL,\n\t`container` text NOT NULL,\n\t`params` text NOT NULL,\n\t`evidence` text NOT NULL,\n\t`createdAt` text NOT NULL,\n\tFOREIGN KEY (`host`) REFERENCES `hosts`(`id`) ON UPDATE no action ON DELETE no action\n);",
      "CREATE UNIQUE INDEX `detections_what` ON `detections` (`host`,`entry`,`layout`,`container`);",
      "DROP INDEX \"orders_open\";",
      "DROP INDEX \"orders_expiry\";",
      "DROP INDEX \"orders_run\";",
      "DROP INDEX \"runs_host\";",
      "DROP INDEX \"runs_binding_kind\";",
      "DROP INDEX \"runs_state\";",
      "ALTER TABLE `orders` ALTER COLUMN \"binding\" TO \"binding\" text;",
      "ALTER TABLE `orders` ADD `repository` text;",
      "ALTER TABLE `orders` ADD `from` text;",
      "ALTER TABLE `orders` ADD `dryRun` integer DEFAULT false NOT NULL;",
      "ALTER TABLE `runs` ALTER COLUMN \"binding\" TO \"binding\" text;",
      "ALTER TABLE `runs` ADD `repository` text;",
      "ALTER TABLE `runs` ADD `plan` text;",
      "ALTER TABLE `runs` ADD `items` text;",
      "ALTER TABLE `bindings` ADD `declared` integer DEFAULT false NOT NULL;",
      "ALTER TABLE `contracts` ADD `consistency` text DEFAULT '[]' NOT NULL;",
      "ALTER TABLE `contracts` ADD `mountPoints` text DEFAULT '[]' NOT NULL;",
      "ALTER TABLE `contracts` ADD `stopForRestore` text DEFAULT '[]' NOT NULL;",
      "ALTER TABLE `contracts` ADD `declared` integer DEFAULT false NOT NULL;",
      "ALTER TABLE `repositories` ADD `ssh` text DEFAULT '{\"identityFile\":null,\"hostKey\":null}' NOT NULL;",
      "ALTER TABLE `repositories` ADD `caFile` text;",
      "ALTER TABLE `repositories` ADD `appendOnly` integer DEFAULT false NOT NULL;",
      "ALTER TABLE `repositories` ADD `maintenance` text DEFAULT '{\"prune\":{\"enable\":true,\"timerConfig\":{\"OnCalendar\":\"Sun 03:30\",\"RandomizedDelaySec\":\"1h\",\"Persistent\":true}},\"check\":{\"enable\":true,\"timerConfig\":{\"OnCalendar\":\"Sat 03:30\",\"RandomizedDelaySec\":\"1h\",\"Persistent\":true}},\"readDataParts\":13,\"zone\":null}' NOT NULL;",
      "ALTER TABLE `repositories` ADD `maintainer` text REFERENCES hosts(id);",
      "ALTER TABLE `repositories` ADD `declared` integer DEFAULT false NOT NULL;",
      "CREATE INDEX `orders_open` ON `orders` (`host`,`id`) WHERE \"orders\".\"closedAt\" is null;",
      "CREATE INDEX `orders_expiry` ON `orders` (`expiresAt`) WHERE \"orders\".\"closedAt\" is null;",
      "CREATE INDEX `orders_run` ON `orders` (`run`);",
      "CREATE INDEX `runs_host` ON `runs` (`host`,`id`);",
      "CREATE INDEX `runs_binding_kind` ON `runs` (`binding`,`kind`,`id`);",
      "CREATE INDEX `runs_repository_kind` ON `runs` (`repository`,`kind`,`id`);",
      "CREATE INDEX `runs_state` ON `runs` (`state`,`id`);",
      "UPDATE `bindings` SET `settings` = json_set(`settings`,\n  '$.performance', json('{\"niceness\":15,\"ioSchedulingClass\":\"best-effort\",\"ioPriority\":7}'),\n  '$.shrinkage', json('{\"percent\":50,\"action\":\"warn\"}'));",
      "UPDATE `runs` SET `repository` = (SELECT `repository` FROM `bindings` WHERE `bindings`.`id` = `runs`.`binding`);"
    ]
  },
  {
    "tag": "0002_add_declaration_faults_and_undeclared_at",
    "when": 1795601604029,
    "hash": "f6c82ac1517b9043f8fd13936c113a55148958d060c12617f0b53edf2576233b",
    "statements": [
      "ALTER TABLE `bindings` ADD `undeclaredAt` text;",
      "ALTER TABLE `contracts` ADD `undeclaredAt` text;",
      "ALTER TABLE `hosts` ADD `declarationFaults` text DEFAULT '[]' NOT NULL;",
      "ALTER TABLE `repositories` ADD `undeclaredAt` text;"
    ]
  },
  {
    "tag": "0003_add_detection_dismissal",
    "when": 1795602297752,
    "hash": "e1dcab2e3a60fdf6f92ac8020431f0d5baeac180e009ef9e60187141c2e9f11f",
    "statements": [
      "ALTER TABLE `detections` ADD `dismissedAt` text;",
      "ALTER TABLE `detections` ADD `contract` text;"
    ]
  },
  {
    "tag": "0004_add_runs_suspicious",
    "when": 1795609413751,
    "hash": "6b925396e96bcec2d8de9c0fbcf13e93daad2e4cf87cb21cbdf57c47e5b85744",
    "statements": [
      "ALTER TABLE `runs` ADD `suspicious` text;"
    ]
  },
  {
    "tag": "0005_add_incidents_and_channel_targets",
    "when": 1795618193388,
    "hash": "9a81586b38aff9b004ff59197d51084666468cdcc08c30b11cc33ea7d92eecd4",
    "statements": [
      "CREATE TABLE `incidents` (\n\t`id` text PRIMARY KEY NOT NULL,\n\t`kind` text NOT NULL,\n\t`key` text NOT NULL,\n\t`detail` text DEFAULT '' NOT NULL,\n\t`host` text,\n\t`binding` text,\n\t`repository` text,\n\t`summary` text NOT NULL,\n\t`timeline` text NOT NULL,\n\t`openedAt` text NOT NULL,\n\t`closedAt` text,\n\t`acknowledgedAt` text,\n\t`acknowledgedBy` text,\n\t`isFlapping` integer DEFAULT false NOT NULL,\n\t`remindAt` text\n);",
      "CREATE UNIQUE INDEX `incidents_open` ON `incidents` (`key`) WHERE \"incidents\".\"closedAt\" is null;",
      "CREATE INDEX `incidents_key` ON `incidents` (`key`,`id`);",
      "CREATE INDEX `incidents_remind` ON `incidents` (`remindAt`) WHERE \"incidents\".\"remindAt\" is not null;",
      "CREATE INDEX `incidents_binding` ON `incidents` (`binding`,`id`);",
      "CREATE INDEX `incidents_host` ON `incidents` (`host`,`id`);",
      "CREATE INDEX `incidents_repository` ON `incidents` (`repository`,`id`);",
      "CREATE TABLE `vitals` (\n\t`name` text PRIMARY KEY NOT NULL,\n\t`at` text NOT NULL\n);",
      "ALTER TABLE `channels` ALTER COLUMN \"secret\" TO \"secret\" text;",
      "ALTER TABLE `channels` ADD `target` text DEFAULT '{}' NOT NULL;",
      "ALTER TABLE `channels` ADD `previousSecret` text;",
      "ALTER TABLE `channels` ADD `previousSecretUntil` text;",
      "ALTER TABLE `channels` ADD `hosts` text;",
      "ALTER TABLE `channels` ADD `labels` text;",
      "ALTER TABLE `channels` ADD `quietHours` text;",
      "ALTER TABLE `channels` ADD `digestAt` text;",
      "ALTER TABLE `channels` ADD `remindEveryDays` integer;",
      "ALTER TABLE `channels` ADD `via` text;",
      "ALTER TABLE `channels` ADD `failures` integer DEFAULT 0 NOT NULL;",
      "ALTER TABLE `channels` ADD `lastStatus` integer;",
      "ALTER TABLE `channels` ADD `lastError` text;",
      "ALTER TABLE `channels` ADD `lastDeliveredAt` text;",
      "UPDATE `channels` SET `target` = json_object('kind', `kind`, 'url', `url`), `remindEveryDays` = 3;",
      "ALTER TABLE `channels` DROP COLUMN `url`;",
      "ALTER TABLE `bindings` ADD `labels` text DEFAULT '[]' NOT NULL;",
      "ALTER TABLE `bindings` ADD `alertAt` text;",
      "ALTER TABLE `deliveries` ADD `incident` text;",
      "ALTER TABLE `hosts` ADD `labels` text DEFAULT '[]' NOT NULL;",
      "ALTER TABLE `hosts` ADD `offlineAfterSeconds` integer DEFAULT 900;",
      "ALTER TABLE `hosts` ADD `clockSkewMs` integer;",
      "ALTER TABLE `runs` ADD `progressAt` text;",
      "CREATE INDEX `bindings_alert` ON `bindings` (`alertAt`) WHERE \"bindings\".\"alertAt\" is not null;",
      "UPDATE `bindings` SET `settings` = json_set(`settings`,\n  '$.alerts', json('{\"grace\":null,\"failures\":1}'),\n  '$.pings', json('[]'));"
    ]
  },
  {
    "tag": "0006_add_incident_flapping",
    "when": 1795618897521,
    "hash": "ebd5df603402b5c66516280302cbe8e3be731ee4639ff0fd6117824dd3929f51",
    "statements": [
      "ALTER TABLE `deliveries` ADD `isAsked` integer DEFAULT false NOT NULL;",
      "CREATE INDEX `deliveries_incident` ON `deliveries` (`incident`,`id`) WHERE \"deliveries\".\"incident\" is not null;",
      "ALTER TABLE `incidents` ADD `opening` text;",
      "ALTER TABLE `incidents` ADD `closing` text;",
      "ALTER TABLE `incidents` ADD `openings` integer DEFAULT 1 NOT NULL;",
      "ALTER TABLE `incidents` ADD `settleAt` text;",
      "CREATE INDEX `incidents_settle` ON `incidents` (`settleAt`) WHERE \"incidents\".\"settleAt\" is not null;"
    ]
  },
  {
    "tag": "0007_add_audit_and_run_days",
    "when": 1795619216697,
    "hash": "68181cef8a21e61cb8744a88826e670fe557eb645f39e75c960836d700a7c1ce",
    "statements": [
      "CREATE TABLE `audit` (\n\t`id` text PRIMARY KEY NOT NULL,\n\t`at` text NOT NULL,\n\t`by` text NOT NULL,\n\t`byName` text NOT NULL,\n\t`byKind` text NOT NULL,\n\t`method` text NOT NULL,\n\t`route` text NOT NULL,\n\t`object` text,\n\t`status` integer NOT NULL\n);",
      "CREATE INDEX `audit_by` ON `audit` (`by`,`id`);",
      "CREATE INDEX `audit_object` ON `audit` (`object`,`id`);",
      "CREATE TABLE `run_days` (\n\t`host` text NOT NULL,\n\t`binding` text NOT NULL,\n\t`repository` text NOT NULL,\n\t`kind` text NOT NULL,\n\t`day` text NOT NULL,\n\t`succeeded` integer DEFAULT 0 NOT NULL,\n\t`warned` integer DEFAULT 0 NOT NULL,\n\t`failed` integer DEFAULT 0 NOT NULL,\n\t`cancelled` integer DEFAULT 0 NOT NULL,\n\t`interrupted` integer DEFAULT 0 NOT NULL,\n\t`bytesAdded` integer DEFAULT 0 NOT NULL,\n\tPRIMARY KEY(`binding`, `kind`, `day`, `repository`, `host`)\n);",
      "CREATE INDEX `run_days_day` ON `run_days` (`day`);",
      "ALTER TABLE `runs` ADD `heardAt` text;",
      "CREATE INDEX `runs_heard` ON `runs` (`heardAt`);",
      "CREATE INDEX `runs_bulky` ON `runs` (`heardAt`) WHERE \"runs\".\"state\" in ('succeeded', 'warned', 'cancelled')\n      and (length(\"runs\".\"log\") > 4096 or \"runs\".\"plan\" is not null or \"runs\".\"items\" is not null);",
      "CREATE INDEX `tokens_expiry` ON `tokens` (`expiresAt`) WHERE \"tokens\".\"expiresAt\" is not null;",
      "CREATE INDEX `deliveries_state` ON `deliveries` (`state`,`id`);",
      "CREATE INDEX `incidents_closed` ON `incidents` (`closedAt`) WHERE \"incidents\".\"closedAt\" is not null;",
      "UPDATE `runs` SET `heardAt` = coalesce(`finishedAt`, `startedAt`, `queuedAt`, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'));"
    ]
  },
  {
    "tag": "0008_add_deliveries_reached",
    "when": 1795619386047,
    "hash": "825a0a93f191a3eb0d448824af4dae6c0fbfda0120472007c76a1599d939e542",
    "statements": [
      "ALTER TABLE `deliveries` ADD `reached` text;"
    ]
  },
  {
    "tag": "0009_add_bindings_good_at",
    "when": 1795619714165,
    "hash": "e60d75dcca51a9466c2141f99d0b21e24cd947842732a14c9c1ab022fe439589",
    "statements": [
      "ALTER TABLE `bindings` ADD `goodAt` text;",
      "ALTER TABLE `bindings` ADD `expectedSince` text;",
      "UPDATE `bindings` SET\n  `goodAt` = (select max(min(`startedAt`, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))) from `runs`\n    where `runs`.`binding` = `bindings`.`id` and `runs`.`kind` = 'backup' and `runs`.`state` in ('succeeded', 'warned')),\n  `alertAt` = strftime('%Y-%m-%dT%H:%M:%fZ', 'now');"
    ]
  },
  {
    "tag": "0010_add_deliveries_relay_state",
    "when": 1795952187519,
    "hash": "87af337e7e3e3e01a11d48bf9c41b68f09dfb4ed203ce125171d6adb47b7837d",
    "statements": [
      "ALTER TABLE `deliveries` ADD `relayState` text;",
      "CREATE INDEX `deliveries_relay` ON `deliveries` (`relayState`,`channel`) WHERE \"deliveries\".\"relayState\" is not null;",
      "UPDATE `deliveries` SET\n  `relayState` = CASE substr(`leaseOwner`, 1, 6) WHEN 'asked ' THEN 'requested' ELSE 'fetched' END,\n  `leaseOwner` = substr(`leaseOwner`, 7)\n  WHERE `leaseOwner` LIKE 'asked %' OR `leaseOwner` LIKE 'taken %';",
      "UPDATE `deliveries` SET `relayState` = 'missed'\n  WHERE `nextAttemptAt` IS NOT NULL AND `leaseOwner` IS NULL\n    AND `lastError` = 'its host has not come for it: is the host on, and its agent not older than the control plane?';"
    ]
  },
  {
    "tag": "0011_add_approvals_macs_audit_chain",
    "when": 1795961244186,
    "hash": "273e7ae93446a2877a950fdc7aec54b928d00c19b68bb9828aa8b51b14e1e0c9",
    "statements": [
      "CREATE TABLE `approvals` (\n\t`host` text NOT NULL,\n\t`key` text NOT NULL,\n\t`kind` text NOT NULL,\n\t`summary` text NOT NULL,\n\t`bindings` text NOT NULL,\n\t`since` text NOT NULL,\n\tPRIMARY KEY(`host`, `key`)\n);",
      "CREATE TABLE `used_jwts` (\n\t`host` text NOT NULL,\n\t`jti` text NOT NULL,\n\t`expiresAt` text NOT NULL,\n\tPRIMARY KEY(`host`, `jti`)\n);",
      "CREATE INDEX `used_jwts_expiry` ON `used_jwts` (`expiresAt`);",
      "CREATE TABLE `audit_checkpoints` (\n\t`sequence` integer PRIMARY KEY NOT NULL,\n\t`hash` text NOT NULL,\n\t`reason` text NOT NULL,\n\t`at` text NOT NULL,\n\t`jws` text NOT NULL\n);",
      "ALTER TABLE `bindings` ADD `mac` text;",
      "ALTER TABLE `contracts` ADD `mac` text;",
      "ALTER TABLE `repositories` ADD `mac` text;",
      "ALTER TABLE `enrollments` ADD `repositories` text DEFAULT '[]' NOT NULL;",
      "ALTER TABLE `enrollments` ADD `mac` text;",
      "ALTER TABLE `hosts` ADD `reportedBytes` integer DEFAULT 0 NOT NULL;",
      "ALTER TABLE `hosts` ADD `reportedSince` text;",
      "ALTER TABLE `hosts` ADD `mac` text;",
      "ALTER TABLE `orders` ADD `mac` text;",
      "ALTER TABLE `audit` ADD `address` text;",
      "ALTER TABLE `audit` ADD `before` text;",
      "ALTER TABLE `audit` ADD `after` text;",
      "ALTER TABLE `audit` ADD `sequence` integer;",
      "ALTER TABLE `audit` ADD `hash` text;",
      "CREATE UNIQUE INDEX `audit_sequence_unique` ON `audit` (`sequence`);",
      "ALTER TABLE `tokens` ADD `mac` text;"
    ]
  },
  {
    "tag": "0012_add_approval_ids_instances_replaces",
    "when": 1795961745368,
    "hash": "90e74a12c9adb2e184682bbde9b8842e3756774a64d2a4db5737e316135811e1",
    "statements": [
      "DROP TABLE `approvals`;",
      "CREATE TABLE `approvals` (\n\t`id` text PRIMARY KEY NOT NULL,\n\t`host` text NOT NULL,\n\t`key` text NOT NULL,\n\t`kind` text NOT NULL,\n\t`summary` text NOT NULL,\n\t`bindings` text NOT NULL,\n\t`since` text NOT NULL\n);",
      "CREATE UNIQUE INDEX `approvals_host_key` ON `approvals` (`host`,`key`);",
      "CREATE INDEX `approvals_host` ON `approvals` (`host`,`id`);",
      "ALTER TABLE `enrollments` ADD `replaces` text;",
      "ALTER TABLE `hosts` ADD `instances` text;"
    ]
  },
  {
    "tag": "0013_add_marks",
    "when": 1795962437044,
    "hash": "78e4bbe14289c17d57db86380e9754263e7aab2dabb0eecec17832cb38f66902",
    "statements": [
      "CREATE TABLE `marks` (\n\t`name` text PRIMARY KEY NOT NULL,\n\t`value` text NOT NULL,\n\t`mac` text NOT NULL\n);"
    ]
  },
  {
    "tag": "0014_add_recovery_and_escrows",
    "when": 1795966161672,
    "hash": "708e26c8268dcf394543aa2e8fc7e102c4767d5bb4ee588d8067b18f565ed171",
    "statements": [
      "CREATE TABLE `escrows` (\n\t`repository` text NOT NULL,\n\t`host` text NOT NULL,\n\t`recipient` text NOT NULL,\n\t`sealed` text NOT NULL,\n\t`digest` text NOT NULL,\n\t`changedAt` text NOT NULL,\n\tPRIMARY KEY(`repository`, `host`)\n);",
      "CREATE INDEX `escrows_recipient` ON `escrows` (`recipient`,`changedAt`);",
      "CREATE TABLE `recovery_recipients` (\n\t`recipient` text PRIMARY KEY NOT NULL,\n\t`setAt` text NOT NULL,\n\t`printedAt` text\n);"
    ]
  },
  {
    "tag": "0015_add_newest_runs",
    "when": 1795979111650,
    "hash": "888e88f5a346427a9a0e129126fd2bb3f76e9172154881ab79907857d3eb62b7",
    "statements": [
      "CREATE TABLE `newest_runs` (\n\t`host` text NOT NULL,\n\t`subject` text NOT NULL,\n\t`kind` text NOT NULL,\n\t`decided` text,\n\t`state` text,\n\t`triedAt` text,\n\t`decidedAt` text,\n\t`failures` integer DEFAULT 0 NOT NULL,\n\t`failedSince` text,\n\t`succeededAt` text,\n\t`checked` text,\n\t`started` text,\n\t`startedAt` text,\n\t`running` text,\n\tPRIMARY KEY(`subject`, `kind`, `host`)\n);",
      "ALTER TABLE `bindings` ADD `listChecksum` text;",
      "INSERT INTO `newest_runs` (`host`, `subject`, `kind`)\n  SELECT `b`.`host`, `b`.`id`, `k`.`value` FROM `bindings` AS `b`, json_each('[\"backup\",\"forget\",\"prune\",\"check\",\"restore\"]') AS `k`\n    WHERE EXISTS (SELECT 1 FROM `runs` AS `r` WHERE `r`.`binding` = `b`.`id` AND `r`.`kind` = `k`.`value`)\n  UNION SELECT `r`.`host`, `b`.`id`, `r`.`kind` FROM `bindings` AS `b`\n    CROSS JOIN `runs` AS `r` ON `r`.`binding` = `b`.`id` AND `r`.`kind` IN ('forget', 'restore');",
      "UPDATE `newest_runs` AS `n` SET\n  (`decided`, `state`, `triedAt`, `decidedAt`) = (SELECT `r`.`id`, `r`.`state`, `r`.`startedAt`, `r`.`finishedAt` FROM `runs` AS `r` WHERE `r`.`binding` = `n`.`subject` AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`\n    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'\n    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END)\n    AND `r`.`state` IN ('succeeded', 'warned', 'failed', 'interrupted') ORDER BY `r`.`id` DESC LIMIT 1),\n  `succeededAt` = (SELECT `r`.`finishedAt` FROM `runs` AS `r` WHERE `r`.`binding` = `n`.`subject` AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`\n    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'\n    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END)\n    AND `r`.`state` IN ('succeeded', 'warned') ORDER BY `r`.`id` DESC LIMIT 1),\n  `failures` = (SELECT count(*) FROM (SELECT 1 FROM `runs` AS `r` WHERE `r`.`binding` = `n`.`subject` AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`\n    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'\n    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END)\n    AND `r`.`state` IN ('failed', 'interrupted') AND `r`.`id` > coalesce((SELECT `r`.`id` FROM `runs` AS `r` WHERE `r`.`binding` = `n`.`subject` AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`\n    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'\n    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END) AND `r`.`state` IN ('succeeded', 'warned') ORDER BY `r`.`id` DESC LIMIT 1), '') LIMIT 100)),\n  `failedSince` = (SELECT coalesce(`r`.`finishedAt`, `r`.`startedAt`) FROM `runs` AS `r` WHERE `r`.`binding` = `n`.`subject` AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`\n    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'\n    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END)\n    AND `r`.`state` IN ('failed', 'interrupted') AND `r`.`id` > coalesce((SELECT `r`.`id` FROM `runs` AS `r` WHERE `r`.`binding` = `n`.`subject` AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`\n    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'\n    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END) AND `r`.`state` IN ('succeeded', 'warned') ORDER BY `r`.`id` DESC LIMIT 1), '') ORDER BY `r`.`id` LIMIT 1),\n  (`started`, `startedAt`) = (SELECT `r`.`id`, `r`.`startedAt` FROM `runs` AS `r` WHERE `r`.`binding` = `n`.`subject` AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`\n    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'\n    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END)\n    AND `r`.`startedAt` IS NOT NULL ORDER BY `r`.`id` DESC LIMIT 1),\n  `checked` = CASE WHEN `n`.`kind` = 'backup' THEN (SELECT `r`.`id` FROM `runs` AS `r` WHERE `r`.`binding` = `n`.`subject` AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`\n    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'\n    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END)\n    AND (`r`.`state` IN ('succeeded', 'warned') OR `r`.`suspicious` IS NOT NULL) ORDER BY `r`.`id` DESC LIMIT 1) END;",
      "INSERT INTO `newest_runs` (`host`, `subject`, `kind`)\n  SELECT DISTINCT `r`.`host`, `p`.`id`, `r`.`kind` FROM `repositories` AS `p`\n    CROSS JOIN `runs` AS `r` ON `r`.`repository` = `p`.`id` AND `r`.`kind` IN ('prune', 'check') AND `r`.`binding` IS NULL;",
      "UPDATE `newest_runs` AS `n` SET\n  (`decided`, `state`, `triedAt`, `decidedAt`) = (SELECT `r`.`id`, `r`.`state`, `r`.`startedAt`, `r`.`finishedAt` FROM `runs` AS `r` WHERE `r`.`repository` = `n`.`subject` AND `r`.`binding` IS NULL AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`\n    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'\n    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END)\n    AND `r`.`state` IN ('succeeded', 'warned', 'failed', 'interrupted') ORDER BY `r`.`id` DESC LIMIT 1),\n  `succeededAt` = (SELECT `r`.`finishedAt` FROM `runs` AS `r` WHERE `r`.`repository` = `n`.`subject` AND `r`.`binding` IS NULL AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`\n    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'\n    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END)\n    AND `r`.`state` IN ('succeeded', 'warned') ORDER BY `r`.`id` DESC LIMIT 1),\n  `failures` = (SELECT count(*) FROM (SELECT 1 FROM `runs` AS `r` WHERE `r`.`repository` = `n`.`subject` AND `r`.`binding` IS NULL AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`\n    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'\n    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END)\n    AND `r`.`state` IN ('failed', 'interrupted') AND `r`.`id` > coalesce((SELECT `r`.`id` FROM `runs` AS `r` WHERE `r`.`repository` = `n`.`subject` AND `r`.`binding` IS NULL AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`\n    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'\n    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END) AND `r`.`state` IN ('succeeded', 'warned') ORDER BY `r`.`id` DESC LIMIT 1), '') LIMIT 100)),\n  `failedSince` = (SELECT coalesce(`r`.`finishedAt`, `r`.`startedAt`) FROM `runs` AS `r` WHERE `r`.`repository` = `n`.`subject` AND `r`.`binding` IS NULL AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`\n    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'\n    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END)\n    AND `r`.`state` IN ('failed', 'interrupted') AND `r`.`id` > coalesce((SELECT `r`.`id` FROM `runs` AS `r` WHERE `r`.`repository` = `n`.`subject` AND `r`.`binding` IS NULL AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`\n    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'\n    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END) AND `r`.`state` IN ('succeeded', 'warned') ORDER BY `r`.`id` DESC LIMIT 1), '') ORDER BY `r`.`id` LIMIT 1),\n  (`started`, `startedAt`) = (SELECT `r`.`id`, `r`.`startedAt` FROM `runs` AS `r` WHERE `r`.`repository` = `n`.`subject` AND `r`.`binding` IS NULL AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`\n    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'\n    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END)\n    AND `r`.`startedAt` IS NOT NULL ORDER BY `r`.`id` DESC LIMIT 1)\n  WHERE `n`.`subject` IN (SELECT `id` FROM `repositories`);",
      "UPDATE `newest_runs` AS `n` SET `running` = `o`.`id` FROM (\n    SELECT max(`id`) AS `id`, `host`, coalesce(`binding`, `repository`) AS `subject`, `kind` FROM `runs` WHERE `state` = 'running' GROUP BY 2, 3, 4) AS `o`\n  WHERE `o`.`subject` = `n`.`subject` AND `o`.`kind` = `n`.`kind` AND `o`.`host` = `n`.`host`;"
    ]
  },
  {
    "tag": "0016_find_what_is_due_by_index",
    "when": 1795980280249,
    "hash": "ab0b6c0a8db2d02dd8c01d92b49363d15f1a7e913a7c83c1f4d221422bc56e10",
    "statements": [
      "CREATE TABLE `row_counts` (\n\t`host` text NOT NULL,\n\t`of` text NOT NULL,\n\t`rows` integer NOT NULL,\n\t`upTo` text NOT NULL,\n\tPRIMARY KEY(`host`, `of`)\n);",
      "ALTER TABLE `hosts` ADD `offlineAt` text;",
      "ALTER TABLE `hosts` ADD `silentAt` integer GENERATED ALWAYS AS (unixepoch(coalesce(\"lastSeenAt\", \"createdAt\")) + \"offlineAfterSeconds\") VIRTUAL;",
      "CREATE INDEX `hosts_silent` ON `hosts` (`silentAt`) WHERE \"revokedAt\" is null and \"offlineAt\" is null and \"offlineAfterSeconds\" is not null;",
      "CREATE INDEX `hosts_seen` ON `hosts` (`lastSeenAt`) WHERE \"revokedAt\" is null and \"offlineAt\" is null and \"offlineAfterSeconds\" is not null;",
      "CREATE INDEX `hosts_back` ON `hosts` (`id`) WHERE \"offlineAt\" is not null and \"revokedAt\" is null\n  and (\"connectionId\" is not null or \"lastSeenAt\" > \"offlineAt\" or \"offlineAfterSeconds\" is null);",
      "CREATE INDEX `hosts_clock` ON `hosts` (`id`) WHERE \"revokedAt\" is null and abs(\"clockSkewMs\") > 300000;",
      "ALTER TABLE `vitals` ADD `next` text;",
      "CREATE INDEX `deliveries_new` ON `deliveries` (`nextAttemptAt`) WHERE \"nextAttemptAt\" is not null and attempts = 0 and type <> 'incident.digest';",
      "CREATE INDEX `runs_not_backup` ON `runs` (`kind`,`id`) WHERE kind <> 'backup';",
      "UPDATE `hosts` SET `offlineAt` = (SELECT `openedAt` FROM `incidents` WHERE `key` = 'host.offline ' || `hosts`.`id` AND `closedAt` IS NULL);",
      "INSERT INTO `row_counts` (`host`, `of`, `rows`, `upTo`) SELECT `host`, 'runs', count(*), max(`id`) FROM `runs` GROUP BY `host`;",
      "INSERT INTO `row_counts` (`host`, `of`, `rows`, `upTo`) SELECT `host`, 'refusals', count(*), max(`id`) FROM `refusals` GROUP BY `host`;"
    ]
  }
];
