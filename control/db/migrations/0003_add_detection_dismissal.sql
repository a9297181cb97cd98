ALTER TABLE `detections` ADD `dismissedAt` text;--> statement-breakpoint
ALTER TABLE `detections` ADD `contract` text;