CREATE TABLE `audit` (
	`id` text PRIMARY KEY NOT NULL,
	`at` text NOT NULL,
	`by` text NOT NULL,
	`byName` text NOT NULL,
	`byKind` text NOT NULL,
	`method` text NOT NULL,
	`route` text NOT NULL,
	`object` text,
	`status` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `audit_by` ON `audit` (`by`,`id`);--> statement-breakpoint
CREATE INDEX `audit_object` ON `audit` (`object`,`id`);--> statement-breakpoint
CREATE TABLE `run_days` (
	`host` text NOT NULL,
	`binding` text NOT NULL,
	`repository` text NOT NULL,
	`kind` text NOT NULL,
	`day` text NOT NULL,
	`succeeded` integer DEFAULT 0 NOT NULL,
	`warned` integer DEFAULT 0 NOT NULL,
	`failed` integer DEFAULT 0 NOT NULL,
	`cancelled` integer DEFAULT 0 NOT NULL,
	`interrupted` integer DEFAULT 0 NOT NULL,
	`bytesAdded` integer DEFAULT 0 NOT NULL,
	PRIMARY KEY(`binding`, `kind`, `day`, `repository`, `host`)
);
--> statement-breakpoint
CREATE INDEX `run_days_day` ON `run_days` (`day`);--> statement-breakpoint
ALTER TABLE `runs` ADD `heardAt` text;--> statement-breakpoint
CREATE INDEX `runs_heard` ON `runs` (`heardAt`);--> statement-breakpoint
CREATE INDEX `runs_bulky` ON `runs` (`heardAt`) WHERE "runs"."state" in ('succeeded', 'warned', 'cancelled')
      and (length("runs"."log") > 4096 or "runs"."plan" is not null or "runs"."items" is not null);--> statement-breakpoint
CREATE INDEX `tokens_expiry` ON `tokens` (`expiresAt`) WHERE "tokens"."expiresAt" is not null;--> statement-breakpoint
CREATE INDEX `deliveries_state` ON `deliveries` (`state`,`id`);--> statement-breakpoint
CREATE INDEX `incidents_closed` ON `incidents` (`closedAt`) WHERE "incidents"."closedAt" is not null;--> statement-breakpoint
UPDATE `runs` SET `heardAt` = coalesce(`finishedAt`, `startedAt`, `queuedAt`, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'));
