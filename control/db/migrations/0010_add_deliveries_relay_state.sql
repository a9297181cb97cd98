ALTER TABLE `deliveries` ADD `relayState` text;--> statement-breakpoint
CREATE INDEX `deliveries_relay` ON `deliveries` (`relayState`,`channel`) WHERE "deliveries"."relayState" is not null;--> statement-breakpoint
UPDATE `deliveries` SET
  `relayState` = CASE substr(`leaseOwner`, 1, 6) WHEN 'asked ' THEN 'requested' ELSE 'fetched' END,
  `leaseOwner` = substr(`leaseOwner`, 7)
  WHERE `leaseOwner` LIKE 'asked %' OR `leaseOwner` LIKE 'taken %';--> statement-breakpoint
UPDATE `deliveries` SET `relayState` = 'missed'
  WHERE `nextAttemptAt` IS NOT NULL AND `leaseOwner` IS NULL
    AND `lastError` = 'its host has not come for it: is the host on, and its agent not older than the control plane?';
