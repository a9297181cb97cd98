ALTER TABLE `bindings` ADD `goodAt` text;--> statement-breakpoint
ALTER TABLE `bindings` ADD `expectedSince` text;--> statement-breakpoint
UPDATE `bindings` SET
  `goodAt` = (select max(min(`startedAt`, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))) from `runs`
    where `runs`.`binding` = `bindings`.`id` and `runs`.`kind` = 'backup' and `runs`.`state` in ('succeeded', 'warned')),
  `alertAt` = strftime('%Y-%m-%dT%H:%M:%fZ', 'now');
