ALTER TABLE `bindings` ADD `undeclaredAt` text;--> statement-breakpoint
ALTER TABLE `contracts` ADD `undeclaredAt` text;--> statement-breakpoint
ALTER TABLE `hosts` ADD `declarationFaults` text DEFAULT '[]' NOT NULL;--> statement-breakpoint
ALTER TABLE `repositories` ADD `undeclaredAt` text;