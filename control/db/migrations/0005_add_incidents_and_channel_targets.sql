CREATE TABLE `incidents` (
	`id` text PRIMARY KEY NOT NULL,
	`kind` text NOT NULL,
	`key` text NOT NULL,
	`detail` text DEFAULT '' NOT NULL,
	`host` text,
	`binding` text,
	`repository` text,
	`summary` text NOT NULL,
	`timeline` text NOT NULL,
	`openedAt` text NOT NULL,
	`closedAt` text,
	`acknowledgedAt` text,
	`acknowledgedBy` text,
	`isFlapping` integer DEFAULT false NOT NULL,
	`remindAt` text
);--> statement-breakpoint
CREATE UNIQUE INDEX `incidents_open` ON `incidents` (`key`) WHERE "incidents"."closedAt" is null;--> statement-breakpoint
CREATE INDEX `incidents_key` ON `incidents` (`key`,`id`);--> statement-breakpoint
CREATE INDEX `incidents_remind` ON `incidents` (`remindAt`) WHERE "incidents"."remindAt" is not null;--> statement-breakpoint
CREATE INDEX `incidents_binding` ON `incidents` (`binding`,`id`);--> statement-breakpoint
CREATE INDEX `incidents_host` ON `incidents` (`host`,`id`);--> statement-breakpoint
CREATE INDEX `incidents_repository` ON `incidents` (`repository`,`id`);--> statement-breakpoint
CREATE TABLE `vitals` (
	`name` text PRIMARY KEY NOT NULL,
	`at` text NOT NULL
);--> statement-breakpoint
ALTER TABLE `channels` ALTER COLUMN "secret" TO "secret" text;--> statement-breakpoint
ALTER TABLE `channels` ADD `target` text DEFAULT '{}' NOT NULL;--> statement-breakpoint
ALTER TABLE `channels` ADD `previousSecret` text;--> statement-breakpoint
ALTER TABLE `channels` ADD `previousSecretUntil` text;--> statement-breakpoint
ALTER TABLE `channels` ADD `hosts` text;--> statement-breakpoint
ALTER TABLE `channels` ADD `labels` text;--> statement-breakpoint
ALTER TABLE `channels` ADD `quietHours` text;--> statement-breakpoint
ALTER TABLE `channels` ADD `digestAt` text;--> statement-breakpoint
ALTER TABLE `channels` ADD `remindEveryDays` integer;--> statement-breakpoint
ALTER TABLE `channels` ADD `via` text;--> statement-breakpoint
ALTER TABLE `channels` ADD `failures` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `channels` ADD `lastStatus` integer;--> statement-breakpoint
ALTER TABLE `channels` ADD `lastError` text;--> statement-breakpoint
ALTER TABLE `channels` ADD `lastDeliveredAt` text;--> statement-breakpoint
UPDATE `channels` SET `target` = json_object('kind', `kind`, 'url', `url`), `remindEveryDays` = 3;--> statement-breakpoint
ALTER TABLE `channels` DROP COLUMN `url`;--> statement-breakpoint
ALTER TABLE `bindings` ADD `labels` text DEFAULT '[]' NOT NULL;--> statement-breakpoint
ALTER TABLE `bindings` ADD `alertAt` text;--> statement-breakpoint
ALTER TABLE `deliveries` ADD `incident` text;--> statement-breakpoint
ALTER TABLE `hosts` ADD `labels` text DEFAULT '[]' NOT NULL;--> statement-breakpoint
ALTER TABLE `hosts` ADD `offlineAfterSeconds` integer DEFAULT 900;--> statement-breakpoint
ALTER TABLE `hosts` ADD `clockSkewMs` integer;--> statement-breakpoint
ALTER TABLE `runs` ADD `progressAt` text;--> statement-breakpoint
CREATE INDEX `bindings_alert` ON `bindings` (`alertAt`) WHERE "bindings"."alertAt" is not null;--> statement-breakpoint
UPDATE `bindings` SET `settings` = json_set(`settings`,
  '$.alerts', json('{"grace":null,"failures":1}'),
  '$.pings', json('[]'));
