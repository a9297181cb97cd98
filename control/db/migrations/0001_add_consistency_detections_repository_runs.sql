CREATE TABLE `detections` (
	`id` text PRIMARY KEY NOT NULL,
	`host` text NOT NULL,
	`entry` text NOT NULL,
	`layout` text NOT NULL,
	`container` text NOT NULL,
	`params` text NOT NULL,
	`evidence` text NOT NULL,
	`createdAt` text NOT NULL,
	FOREIGN KEY (`host`) REFERENCES `hosts`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `detections_what` ON `detections` (`host`,`entry`,`layout`,`container`);
--> statement-breakpoint
DROP INDEX "orders_open";
--> statement-breakpoint
DROP INDEX "orders_expiry";
--> statement-breakpoint
DROP INDEX "orders_run";
--> statement-breakpoint
DROP INDEX "runs_host";
--> statement-breakpoint
DROP INDEX "runs_binding_kind";
--> statement-breakpoint
DROP INDEX "runs_state";
--> statement-breakpoint
ALTER TABLE `orders` ALTER COLUMN "binding" TO "binding" text;
--> statement-breakpoint
ALTER TABLE `orders` ADD `repository` text;
--> statement-breakpoint
ALTER TABLE `orders` ADD `from` text;
--> statement-breakpoint
ALTER TABLE `orders` ADD `dryRun` integer DEFAULT false NOT NULL;
--> statement-breakpoint
ALTER TABLE `runs` ALTER COLUMN "binding" TO "binding" text;
--> statement-breakpoint
ALTER TABLE `runs` ADD `repository` text;
--> statement-breakpoint
ALTER TABLE `runs` ADD `plan` text;
--> statement-breakpoint
ALTER TABLE `runs` ADD `items` text;
--> statement-breakpoint
ALTER TABLE `bindings` ADD `declared` integer DEFAULT false NOT NULL;
--> statement-breakpoint
ALTER TABLE `contracts` ADD `consistency` text DEFAULT '[]' NOT NULL;
--> statement-breakpoint
ALTER TABLE `contracts` ADD `mountPoints` text DEFAULT '[]' NOT NULL;
--> statement-breakpoint
ALTER TABLE `contracts` ADD `stopForRestore` text DEFAULT '[]' NOT NULL;
--> statement-breakpoint
ALTER TABLE `contracts` ADD `declared` integer DEFAULT false NOT NULL;
--> statement-breakpoint
ALTER TABLE `repositories` ADD `ssh` text DEFAULT '{"identityFile":null,"hostKey":null}' NOT NULL;
--> statement-breakpoint
ALTER TABLE `repositories` ADD `caFile` text;
--> statement-breakpoint
ALTER TABLE `repositories` ADD `appendOnly` integer DEFAULT false NOT NULL;
--> statement-breakpoint
ALTER TABLE `repositories` ADD `maintenance` text DEFAULT '{"prune":{"enable":true,"timerConfig":{"OnCalendar":"Sun 03:30","RandomizedDelaySec":"1h","Persistent":true}},"check":{"enable":true,"timerConfig":{"OnCalendar":"Sat 03:30","RandomizedDelaySec":"1h","Persistent":true}},"readDataParts":13,"zone":null}' NOT NULL;
--> statement-breakpoint
ALTER TABLE `repositories` ADD `maintainer` text REFERENCES hosts(id);
--> statement-breakpoint
ALTER TABLE `repositories` ADD `declared` integer DEFAULT false NOT NULL;
--> statement-breakpoint
CREATE INDEX `orders_open` ON `orders` (`host`,`id`) WHERE "orders"."closedAt" is null;
--> statement-breakpoint
CREATE INDEX `orders_expiry` ON `orders` (`expiresAt`) WHERE "orders"."closedAt" is null;
--> statement-breakpoint
CREATE INDEX `orders_run` ON `orders` (`run`);
--> statement-breakpoint
CREATE INDEX `runs_host` ON `runs` (`host`,`id`);
--> statement-breakpoint
CREATE INDEX `runs_binding_kind` ON `runs` (`binding`,`kind`,`id`);
--> statement-breakpoint
CREATE INDEX `runs_repository_kind` ON `runs` (`repository`,`kind`,`id`);
--> statement-breakpoint
CREATE INDEX `runs_state` ON `runs` (`state`,`id`);
--> statement-breakpoint
UPDATE `bindings` SET `settings` = json_set(`settings`,
  '$.performance', json('{"niceness":15,"ioSchedulingClass":"best-effort","ioPriority":7}'),
  '$.shrinkage', json('{"percent":50,"action":"warn"}'));
--> statement-breakpoint
UPDATE `runs` SET `repository` = (SELECT `repository` FROM `bindings` WHERE `bindings`.`id` = `runs`.`binding`);
