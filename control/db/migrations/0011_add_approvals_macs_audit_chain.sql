CREATE TABLE `approvals` (
	`host` text NOT NULL,
	`key` text NOT NULL,
	`kind` text NOT NULL,
	`summary` text NOT NULL,
	`bindings` text NOT NULL,
	`since` text NOT NULL,
	PRIMARY KEY(`host`, `key`)
);
--> statement-breakpoint
CREATE TABLE `used_jwts` (
	`host` text NOT NULL,
	`jti` text NOT NULL,
	`expiresAt` text NOT NULL,
	PRIMARY KEY(`host`, `jti`)
);
--> statement-breakpoint
CREATE INDEX `used_jwts_expiry` ON `used_jwts` (`expiresAt`);--> statement-breakpoint
CREATE TABLE `audit_checkpoints` (
	`sequence` integer PRIMARY KEY NOT NULL,
	`hash` text NOT NULL,
	`reason` text NOT NULL,
	`at` text NOT NULL,
	`jws` text NOT NULL
);
--> statement-breakpoint
ALTER TABLE `bindings` ADD `mac` text;--> statement-breakpoint
ALTER TABLE `contracts` ADD `mac` text;--> statement-breakpoint
ALTER TABLE `repositories` ADD `mac` text;--> statement-breakpoint
ALTER TABLE `enrollments` ADD `repositories` text DEFAULT '[]' NOT NULL;--> statement-breakpoint
ALTER TABLE `enrollments` ADD `mac` text;--> statement-breakpoint
ALTER TABLE `hosts` ADD `reportedBytes` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `hosts` ADD `reportedSince` text;--> statement-breakpoint
ALTER TABLE `hosts` ADD `mac` text;--> statement-breakpoint
ALTER TABLE `orders` ADD `mac` text;--> statement-breakpoint
ALTER TABLE `audit` ADD `address` text;--> statement-breakpoint
ALTER TABLE `audit` ADD `before` text;--> statement-breakpoint
ALTER TABLE `audit` ADD `after` text;--> statement-breakpoint
ALTER TABLE `audit` ADD `sequence` integer;--> statement-breakpoint
ALTER TABLE `audit` ADD `hash` text;--> statement-breakpoint
CREATE UNIQUE INDEX `audit_sequence_unique` ON `audit` (`sequence`);--> statement-breakpoint
ALTER TABLE `tokens` ADD `mac` text;