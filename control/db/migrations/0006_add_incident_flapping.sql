ALTER TABLE `deliveries` ADD `isAsked` integer DEFAULT false NOT NULL;--> statement-breakpoint
CREATE INDEX `deliveries_incident` ON `deliveries` (`incident`,`id`) WHERE "deliveries"."incident" is not null;--> statement-breakpoint
ALTER TABLE `incidents` ADD `opening` text;--> statement-breakpoint
ALTER TABLE `incidents` ADD `closing` text;--> statement-breakpoint
ALTER TABLE `incidents` ADD `openings` integer DEFAULT 1 NOT NULL;--> statement-breakpoint
ALTER TABLE `incidents` ADD `settleAt` text;--> statement-breakpoint
CREATE INDEX `incidents_settle` ON `incidents` (`settleAt`) WHERE "incidents"."settleAt" is not null;