CREATE TABLE `escrows` (
	`repository` text NOT NULL,
	`host` text NOT NULL,
	`recipient` text NOT NULL,
	`sealed` text NOT NULL,
	`digest` text NOT NULL,
	`changedAt` text NOT NULL,
	PRIMARY KEY(`repository`, `host`)
);
--> statement-breakpoint
CREATE INDEX `escrows_recipient` ON `escrows` (`recipient`,`changedAt`);--> statement-breakpoint
CREATE TABLE `recovery_recipients` (
	`recipient` text PRIMARY KEY NOT NULL,
	`setAt` text NOT NULL,
	`printedAt` text
);
