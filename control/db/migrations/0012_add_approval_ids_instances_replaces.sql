DROP TABLE `approvals`;--> statement-breakpoint
CREATE TABLE `approvals` (
	`id` text PRIMARY KEY NOT NULL,
	`host` text NOT NULL,
	`key` text NOT NULL,
	`kind` text NOT NULL,
	`summary` text NOT NULL,
	`bindings` text NOT NULL,
	`since` text NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `approvals_host_key` ON `approvals` (`host`,`key`);--> statement-breakpoint
CREATE INDEX `approvals_host` ON `approvals` (`host`,`id`);--> statement-breakpoint
ALTER TABLE `enrollments` ADD `replaces` text;--> statement-breakpoint
ALTER TABLE `hosts` ADD `instances` text;
