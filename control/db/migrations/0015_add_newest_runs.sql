CREATE TABLE `newest_runs` (
	`host` text NOT NULL,
	`subject` text NOT NULL,
	`kind` text NOT NULL,
	`decided` text,
	`state` text,
	`triedAt` text,
	`decidedAt` text,
	`failures` integer DEFAULT 0 NOT NULL,
	`failedSince` text,
	`succeededAt` text,
	`checked` text,
	`started` text,
	`startedAt` text,
	`running` text,
	PRIMARY KEY(`subject`, `kind`, `host`)
);
--> statement-breakpoint
ALTER TABLE `bindings` ADD `listChecksum` text;--> statement-breakpoint
INSERT INTO `newest_runs` (`host`, `subject`, `kind`)
  SELECT `b`.`host`, `b`.`id`, `k`.`value` FROM `bindings` AS `b`, json_each('["backup","forget","prune","check","restore"]') AS `k`
    WHERE EXISTS (SELECT 1 FROM `runs` AS `r` WHERE `r`.`binding` = `b`.`id` AND `r`.`kind` = `k`.`value`)
  UNION SELECT `r`.`host`, `b`.`id`, `r`.`kind` FROM `bindings` AS `b`
    CROSS JOIN `runs` AS `r` ON `r`.`binding` = `b`.`id` AND `r`.`kind` IN ('forget', 'restore');--> statement-breakpoint
UPDATE `newest_runs` AS `n` SET
  (`decided`, `state`, `triedAt`, `decidedAt`) = (SELECT `r`.`id`, `r`.`state`, `r`.`startedAt`, `r`.`finishedAt` FROM `runs` AS `r` WHERE `r`.`binding` = `n`.`subject` AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`
    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'
    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END)
    AND `r`.`state` IN ('succeeded', 'warned', 'failed', 'interrupted') ORDER BY `r`.`id` DESC LIMIT 1),
  `succeededAt` = (SELECT `r`.`finishedAt` FROM `runs` AS `r` WHERE `r`.`binding` = `n`.`subject` AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`
    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'
    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END)
    AND `r`.`state` IN ('succeeded', 'warned') ORDER BY `r`.`id` DESC LIMIT 1),
  `failures` = (SELECT count(*) FROM (SELECT 1 FROM `runs` AS `r` WHERE `r`.`binding` = `n`.`subject` AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`
    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'
    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END)
    AND `r`.`state` IN ('failed', 'interrupted') AND `r`.`id` > coalesce((SELECT `r`.`id` FROM `runs` AS `r` WHERE `r`.`binding` = `n`.`subject` AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`
    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'
    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END) AND `r`.`state` IN ('succeeded', 'warned') ORDER BY `r`.`id` DESC LIMIT 1), '') LIMIT 100)),
  `failedSince` = (SELECT coalesce(`r`.`finishedAt`, `r`.`startedAt`) FROM `runs` AS `r` WHERE `r`.`binding` = `n`.`subject` AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`
    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'
    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END)
    AND `r`.`state` IN ('failed', 'interrupted') AND `r`.`id` > coalesce((SELECT `r`.`id` FROM `runs` AS `r` WHERE `r`.`binding` = `n`.`subject` AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`
    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'
    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END) AND `r`.`state` IN ('succeeded', 'warned') ORDER BY `r`.`id` DESC LIMIT 1), '') ORDER BY `r`.`id` LIMIT 1),
  (`started`, `startedAt`) = (SELECT `r`.`id`, `r`.`startedAt` FROM `runs` AS `r` WHERE `r`.`binding` = `n`.`subject` AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`
    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'
    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END)
    AND `r`.`startedAt` IS NOT NULL ORDER BY `r`.`id` DESC LIMIT 1),
  `checked` = CASE WHEN `n`.`kind` = 'backup' THEN (SELECT `r`.`id` FROM `runs` AS `r` WHERE `r`.`binding` = `n`.`subject` AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`
    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'
    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END)
    AND (`r`.`state` IN ('succeeded', 'warned') OR `r`.`suspicious` IS NOT NULL) ORDER BY `r`.`id` DESC LIMIT 1) END;--> statement-breakpoint
INSERT INTO `newest_runs` (`host`, `subject`, `kind`)
  SELECT DISTINCT `r`.`host`, `p`.`id`, `r`.`kind` FROM `repositories` AS `p`
    CROSS JOIN `runs` AS `r` ON `r`.`repository` = `p`.`id` AND `r`.`kind` IN ('prune', 'check') AND `r`.`binding` IS NULL;--> statement-breakpoint
UPDATE `newest_runs` AS `n` SET
  (`decided`, `state`, `triedAt`, `decidedAt`) = (SELECT `r`.`id`, `r`.`state`, `r`.`startedAt`, `r`.`finishedAt` FROM `runs` AS `r` WHERE `r`.`repository` = `n`.`subject` AND `r`.`binding` IS NULL AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`
    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'
    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END)
    AND `r`.`state` IN ('succeeded', 'warned', 'failed', 'interrupted') ORDER BY `r`.`id` DESC LIMIT 1),
  `succeededAt` = (SELECT `r`.`finishedAt` FROM `runs` AS `r` WHERE `r`.`repository` = `n`.`subject` AND `r`.`binding` IS NULL AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`
    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'
    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END)
    AND `r`.`state` IN ('succeeded', 'warned') ORDER BY `r`.`id` DESC LIMIT 1),
  `failures` = (SELECT count(*) FROM (SELECT 1 FROM `runs` AS `r` WHERE `r`.`repository` = `n`.`subject` AND `r`.`binding` IS NULL AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`
    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'
    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END)
    AND `r`.`state` IN ('failed', 'interrupted') AND `r`.`id` > coalesce((SELECT `r`.`id` FROM `runs` AS `r` WHERE `r`.`repository` = `n`.`subject` AND `r`.`binding` IS NULL AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`
    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'
    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END) AND `r`.`state` IN ('succeeded', 'warned') ORDER BY `r`.`id` DESC LIMIT 1), '') LIMIT 100)),
  `failedSince` = (SELECT coalesce(`r`.`finishedAt`, `r`.`startedAt`) FROM `runs` AS `r` WHERE `r`.`repository` = `n`.`subject` AND `r`.`binding` IS NULL AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`
    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'
    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END)
    AND `r`.`state` IN ('failed', 'interrupted') AND `r`.`id` > coalesce((SELECT `r`.`id` FROM `runs` AS `r` WHERE `r`.`repository` = `n`.`subject` AND `r`.`binding` IS NULL AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`
    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'
    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END) AND `r`.`state` IN ('succeeded', 'warned') ORDER BY `r`.`id` DESC LIMIT 1), '') ORDER BY `r`.`id` LIMIT 1),
  (`started`, `startedAt`) = (SELECT `r`.`id`, `r`.`startedAt` FROM `runs` AS `r` WHERE `r`.`repository` = `n`.`subject` AND `r`.`binding` IS NULL AND `r`.`kind` = `n`.`kind` AND +`r`.`host` = `n`.`host`
    AND `r`.`id` < (CASE WHEN coalesce((SELECT `clockSkewMs` FROM `hosts` WHERE `hosts`.`id` = `n`.`host`), 0) > 300000 THEN '~'
    ELSE (SELECT substr(`t`.`x`, 1, 8) || '-' || substr(`t`.`x`, 9) FROM (SELECT printf('%012x', strftime('%s', 'now') * 1000 + 300000) AS `x`) AS `t`) END)
    AND `r`.`startedAt` IS NOT NULL ORDER BY `r`.`id` DESC LIMIT 1)
  WHERE `n`.`subject` IN (SELECT `id` FROM `repositories`);--> statement-breakpoint
UPDATE `newest_runs` AS `n` SET `running` = `o`.`id` FROM (
    SELECT max(`id`) AS `id`, `host`, coalesce(`binding`, `repository`) AS `subject`, `kind` FROM `runs` WHERE `state` = 'running' GROUP BY 2, 3, 4) AS `o`
  WHERE `o`.`subject` = `n`.`subject` AND `o`.`kind` = `n`.`kind` AND `o`.`host` = `n`.`host`;
