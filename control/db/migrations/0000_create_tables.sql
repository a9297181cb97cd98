CREATE TABLE `bindings` (
	`id` text PRIMARY KEY NOT NULL,
	`host` text NOT NULL,
	`name` text NOT NULL,
	`contract` text NOT NULL,
	`repository` text NOT NULL,
	`settings` text NOT NULL,
	`paused` integer DEFAULT false NOT NULL,
	`listedBy` text,
	`createdAt` text NOT NULL,
	`changedAt` text NOT NULL,
	FOREIGN KEY (`host`) REFERENCES `hosts`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`contract`) REFERENCES `contracts`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`repository`) REFERENCES `repositories`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `bindings_host_name` ON `bindings` (`host`,`name`);--> statement-breakpoint
CREATE UNIQUE INDEX `bindings_contract_repository` ON `bindings` (`contract`,`repository`);--> statement-breakpoint
CREATE INDEX `bindings_repository` ON `bindings` (`repository`);--> statement-breakpoint
CREATE TABLE `channels` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`kind` text NOT NULL,
	`url` text NOT NULL,
	`secret` text NOT NULL,
	`events` text,
	`enabled` integer NOT NULL,
	`createdAt` text NOT NULL,
	`changedAt` text NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `channels_name_unique` ON `channels` (`name`);--> statement-breakpoint
CREATE TABLE `contracts` (
	`id` text PRIMARY KEY NOT NULL,
	`host` text NOT NULL,
	`name` text NOT NULL,
	`kind` text NOT NULL,
	`request` text NOT NULL,
	`createdAt` text NOT NULL,
	`changedAt` text NOT NULL,
	FOREIGN KEY (`host`) REFERENCES `hosts`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `contracts_host_name` ON `contracts` (`host`,`name`);--> statement-breakpoint
CREATE TABLE `deliveries` (
	`id` text PRIMARY KEY NOT NULL,
	`channel` text NOT NULL,
	`type` text NOT NULL,
	`payload` text NOT NULL,
	`state` text DEFAULT 'pending' NOT NULL,
	`attempts` integer DEFAULT 0 NOT NULL,
	`nextAttemptAt` text,
	`leaseUntil` text,
	`leaseOwner` text,
	`lastStatus` integer,
	`lastError` text,
	`createdAt` text NOT NULL,
	`deliveredAt` text
);
--> statement-breakpoint
CREATE INDEX `deliveries_due` ON `deliveries` (`nextAttemptAt`) WHERE "deliveries"."nextAttemptAt" is not null;--> statement-breakpoint
CREATE INDEX `deliveries_channel` ON `deliveries` (`channel`,`id`);--> statement-breakpoint
CREATE TABLE `enrollments` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text,
	`hash` text NOT NULL,
	`uses` integer NOT NULL,
	`usesLeft` integer NOT NULL,
	`expiresAt` text NOT NULL,
	`createdAt` text NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `enrollments_hash_unique` ON `enrollments` (`hash`);--> statement-breakpoint
CREATE INDEX `enrollments_expiry` ON `enrollments` (`expiresAt`);--> statement-breakpoint
CREATE TABLE `guards` (
	`holds` integer NOT NULL,
	CONSTRAINT "guard_holds" CHECK("guards"."holds" = 1)
);
--> statement-breakpoint
CREATE TABLE `hosts` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`publicKey` text NOT NULL,
	`audience` text NOT NULL,
	`enrollment` text NOT NULL,
	`facts` text,
	`revision` integer DEFAULT 0 NOT NULL,
	`reportCount` integer DEFAULT 0 NOT NULL,
	`connectionId` text,
	`connectedAt` text,
	`lastSeenAt` text,
	`revokedAt` text,
	`createdAt` text NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `hosts_name_unique` ON `hosts` (`name`);--> statement-breakpoint
CREATE UNIQUE INDEX `hosts_publicKey_unique` ON `hosts` (`publicKey`);--> statement-breakpoint
CREATE TABLE `orders` (
	`id` text PRIMARY KEY NOT NULL,
	`host` text NOT NULL,
	`kind` text NOT NULL,
	`run` text NOT NULL,
	`binding` text NOT NULL,
	`restore` text,
	`issuedAt` text NOT NULL,
	`expiresAt` text NOT NULL,
	`closedAt` text,
	FOREIGN KEY (`host`) REFERENCES `hosts`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `orders_open` ON `orders` (`host`,`id`) WHERE "orders"."closedAt" is null;--> statement-breakpoint
CREATE INDEX `orders_expiry` ON `orders` (`expiresAt`) WHERE "orders"."closedAt" is null;--> statement-breakpoint
CREATE INDEX `orders_run` ON `orders` (`run`);--> statement-breakpoint
CREATE TABLE `refusals` (
	`id` text PRIMARY KEY NOT NULL,
	`host` text NOT NULL,
	`at` text NOT NULL,
	`code` text NOT NULL,
	`subject` text NOT NULL,
	`message` text NOT NULL
);
--> statement-breakpoint
CREATE INDEX `refusals_host` ON `refusals` (`host`,`id`);--> statement-breakpoint
CREATE TABLE `repositories` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`provider` text NOT NULL,
	`location` text NOT NULL,
	`passphrase` text NOT NULL,
	`secrets` text NOT NULL,
	`existing` integer NOT NULL,
	`engineId` text,
	`host` text,
	`createdAt` text NOT NULL,
	`changedAt` text NOT NULL,
	FOREIGN KEY (`host`) REFERENCES `hosts`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `repositories_name_unique` ON `repositories` (`name`);--> statement-breakpoint
CREATE TABLE `runs` (
	`id` text PRIMARY KEY NOT NULL,
	`host` text NOT NULL,
	`binding` text NOT NULL,
	`kind` text NOT NULL,
	`trigger` text NOT NULL,
	`state` text NOT NULL,
	`sequence` integer DEFAULT 0 NOT NULL,
	`scheduledAt` text,
	`queuedAt` text,
	`startedAt` text,
	`finishedAt` text,
	`snapshot` text,
	`failure` text,
	`warnings` text NOT NULL,
	`stats` text,
	`progress` text,
	`log` text DEFAULT '' NOT NULL
);
--> statement-breakpoint
CREATE INDEX `runs_host` ON `runs` (`host`,`id`);--> statement-breakpoint
CREATE INDEX `runs_binding_kind` ON `runs` (`binding`,`kind`,`id`);--> statement-breakpoint
CREATE INDEX `runs_state` ON `runs` (`state`,`id`);--> statement-breakpoint
CREATE TABLE `snapshots` (
	`id` text PRIMARY KEY NOT NULL,
	`snapshot` text NOT NULL,
	`host` text NOT NULL,
	`binding` text NOT NULL,
	`repository` text NOT NULL,
	`run` text,
	`takenAt` text NOT NULL,
	`paths` text NOT NULL,
	`bytesTotal` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `snapshots_binding_snapshot` ON `snapshots` (`binding`,`snapshot`);--> statement-breakpoint
CREATE INDEX `snapshots_snapshot` ON `snapshots` (`snapshot`);--> statement-breakpoint
CREATE INDEX `snapshots_repository` ON `snapshots` (`repository`,`id`);--> statement-breakpoint
CREATE INDEX `snapshots_host` ON `snapshots` (`host`,`id`);--> statement-breakpoint
CREATE TABLE `tokens` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`scope` text NOT NULL,
	`hash` text NOT NULL,
	`expiresAt` text,
	`lastUsedAt` text,
	`createdAt` text NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `tokens_name_unique` ON `tokens` (`name`);--> statement-breakpoint
CREATE UNIQUE INDEX `tokens_hash_unique` ON `tokens` (`hash`);