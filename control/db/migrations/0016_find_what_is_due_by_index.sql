CREATE TABLE `row_counts` (
	`host` text NOT NULL,
	`of` text NOT NULL,
	`rows` integer NOT NULL,
	`upTo` text NOT NULL,
	PRIMARY KEY(`host`, `of`)
);
--> statement-breakpoint
ALTER TABLE `hosts` ADD `offlineAt` text;--> statement-breakpoint
ALTER TABLE `hosts` ADD `silentAt` integer GENERATED ALWAYS AS (unixepoch(coalesce("lastSeenAt", "createdAt")) + "offlineAfterSeconds") VIRTUAL;--> statement-breakpoint
CREATE INDEX `hosts_silent` ON `hosts` (`silentAt`) WHERE "revokedAt" is null and "offlineAt" is null and "offlineAfterSeconds" is not null;--> statement-breakpoint
CREATE INDEX `hosts_seen` ON `hosts` (`lastSeenAt`) WHERE "revokedAt" is null and "offlineAt" is null and "offlineAfterSeconds" is not null;--> statement-breakpoint
CREATE INDEX `hosts_back` ON `hosts` (`id`) WHERE "offlineAt" is not null and "revokedAt" is null
  and ("connectionId" is not null or "lastSeenAt" > "offlineAt" or "offlineAfterSeconds" is null);--> statement-breakpoint
CREATE INDEX `hosts_clock` ON `hosts` (`id`) WHERE "revokedAt" is null and abs("clockSkewMs") > 300000;--> statement-breakpoint
ALTER TABLE `vitals` ADD `next` text;--> statement-breakpoint
CREATE INDEX `deliveries_new` ON `deliveries` (`nextAttemptAt`) WHERE "nextAttemptAt" is not null and attempts = 0 and type <> 'incident.digest';--> statement-breakpoint
CREATE INDEX `runs_not_backup` ON `runs` (`kind`,`id`) WHERE kind <> 'backup';--> statement-breakpoint
UPDATE `hosts` SET `offlineAt` = (SELECT `openedAt` FROM `incidents` WHERE `key` = 'host.offline ' || `hosts`.`id` AND `closedAt` IS NULL);--> statement-breakpoint
INSERT INTO `row_counts` (`host`, `of`, `rows`, `upTo`) SELECT `host`, 'runs', count(*), max(`id`) FROM `runs` GROUP BY `host`;--> statement-breakpoint
INSERT INTO `row_counts` (`host`, `of`, `rows`, `upTo`) SELECT `host`, 'refusals', count(*), max(`id`) FROM `refusals` GROUP BY `host`;
