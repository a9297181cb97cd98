import type { Layout } from "../../shared/catalog.ts";
import type { Names } from "./tables.ts";

/** What one service's files and database look like on a host: their real names, with little in them. */
export interface Shape {
  readonly entry: string;
  /** The layout that is tried for real. */
  readonly layout: Layout;
  /** Parameters that are directories, below the test's root. */
  readonly directories: Readonly<Record<string, string>>;
  readonly choices?: Readonly<Record<string, string>>;
  /** Files that have to come back as they were. */
  readonly files: readonly string[];
  /** Files that the template leaves out: the service makes them anew. */
  readonly remade?: readonly string[];
  /** SQLite files and the tables in them; the first is written to while it is backed up. */
  readonly sqlite?: Readonly<Record<string, Names>>;
  /** Tables of its database in a server, likewise. */
  readonly postgres?: Names;
  readonly mariadb?: Names;
}

const docker = { layout: "docker" } as const;

function arr(entry: string, tables: Names): Shape {
  return {
    ...docker,
    entry,
    directories: { data: "config" },
    files: ["config/config.xml", "config/Backups/scheduled/backup_v5.zip", "config/asp/key-1.xml"],
    remade: ["config/logs.db", "config/logs.db-wal", "config/logs/app.txt", "config/app.pid"],
    sqlite: { [`config/${entry}.db`]: tables },
  };
}

export const SHAPES: readonly Shape[] = [
  {
    ...docker,
    entry: "audiobookshelf",
    directories: { config: "config", metadata: "metadata" },
    files: ["config/migrations/v2.15.0.js", "metadata/items/li_1/cover.jpg", "metadata/backups/2026.audiobookshelf"],
    remade: ["metadata/cache/covers/1.webp", "metadata/logs/daily/2026-11-25.txt"],
    sqlite: { "config/absdatabase.sqlite": ["mediaProgresses", "users", "libraries", "libraryItems"] },
  },
  {
    ...docker,
    entry: "bazarr",
    directories: { data: "config" },
    files: ["config/config/config.yaml", "config/backup/bazarr_backup.zip"],
    remade: ["config/log/bazarr.log", "config/cache/dogpile"],
    sqlite: { "config/db/bazarr.db": ["table_history", "table_shows", "table_episodes", "table_movies"] },
  },
  {
    ...docker,
    entry: "deluge",
    directories: { data: "config" },
    files: ["config/core.conf", "config/auth", "config/state/torrents.state", "config/state/0a1b.torrent"],
  },
  {
    entry: "firefly-iii",
    layout: "nixos",
    directories: { data: "firefly-iii" },
    files: ["firefly-iii/storage/upload/at-1.data"],
    remade: ["firefly-iii/storage/framework/cache/data/aa", "firefly-iii/storage/logs/ff3.log"],
    postgres: ["transaction_journals", "users", "accounts", "attachments"],
  },
  {
    entry: "forgejo",
    layout: "nixos",
    directories: { data: "forgejo" },
    files: ["forgejo/repositories/me/x.git/HEAD", "forgejo/custom/conf/app.ini", "forgejo/data/attachments/a/b/ab"],
    remade: ["forgejo/dump/forgejo-dump.tar.gz", "forgejo/log/gitea.log", "forgejo/data/indexers/issues.bleve/store"],
    postgres: ["action", "user", "repository", "issue"],
  },
  {
    ...docker,
    entry: "grocy",
    directories: { data: "config/data" },
    files: ["config/data/config.php", "config/data/storage/productpictures/bread.jpg", "config/data/plugins/x.php"],
    remade: ["config/data/viewcache/1.php"],
    sqlite: { "config/data/grocy.db": ["stock_log", "products", "stock", "chores"] },
  },
  {
    ...docker,
    entry: "hledger",
    directories: { journals: "journals" },
    files: ["journals/all.journal", "journals/2026/11.journal"],
  },
  {
    ...docker,
    entry: "home-assistant",
    directories: { config: "config" },
    files: [
      "config/configuration.yaml",
      "config/secrets.yaml",
      "config/.storage/auth",
      "config/.storage/core.entity_registry",
    ],
    remade: ["config/home-assistant.log", "config/home-assistant.log.1", "config/backups/half.tar"],
    sqlite: { "config/home-assistant_v2.db": ["states", "states_meta", "events", "statistics"] },
  },
  {
    entry: "immich",
    layout: "nixos",
    directories: { media: "immich" },
    files: [
      "immich/upload/u1/ab/cd/photo.jpg",
      "immich/library/me/2026/film.mp4",
      "immich/profile/u1/me.webp",
      "immich/thumbs/u1/t.webp",
    ],
    remade: ["immich/encoded-video/u1/film.mp4", "immich/upload/u1/x.tmp"],
    postgres: ["asset", "user", "album", "person"],
  },
  {
    ...docker,
    entry: "jackett",
    directories: { data: "config" },
    files: [
      "config/Jackett/ServerConfig.json",
      "config/Jackett/Indexers/some.json",
      "config/Jackett/DataProtection/key-1.xml",
    ],
    remade: ["config/Jackett/log.txt"],
  },
  {
    ...docker,
    entry: "jellyfin",
    directories: { data: "config", databases: "config/data" },
    files: [
      "config/config/system.xml",
      "config/root/default/Films/options.xml",
      "config/metadata/library/ab/poster.jpg",
    ],
    remade: ["config/log/log_20261125.log", "config/transcodes/1.ts", "config/cache/x"],
    sqlite: { "config/data/jellyfin.db": ["ActivityLogs", "Users", "BaseItems", "UserData"] },
  },
  {
    ...docker,
    entry: "karakeep",
    directories: { data: "data" },
    files: ["data/assets/u1/a1/asset.bin", "data/assets/u1/a1/metadata.json"],
    remade: ["data/queue.db", "data/queue.db-wal"],
    sqlite: { "data/db.db": ["bookmarks", "user", "bookmarkLinks", "assets"] },
  },
  arr("lidarr", ["History", "Artists", "Albums", "Indexers"]),
  {
    ...docker,
    entry: "lldap",
    directories: { data: "data" },
    files: ["data/lldap_config.toml", "data/private_key"],
    sqlite: { "data/users.db": ["users", "groups", "memberships", "jwt_refresh_storage"] },
  },
  {
    ...docker,
    entry: "mail",
    directories: { mail: "mail", state: "state", config: "config" },
    files: [
      "mail/example.org/alice/cur/1764057600.M1P2.mx,S=12,W=13:2,S",
      "mail/example.org/alice/.Sent/cur/1764057601.M1P2.mx:2,",
      "mail/example.org/alice/new/1764057602.M1P2.mx",
      "state/lib-postfix/master.lock",
      "config/postfix-accounts.cf",
      "config/opendkim/keys/example.org/mail.private",
    ],
  },
  {
    entry: "mail-dkim",
    layout: "debian",
    directories: { keys: "dkim" },
    files: ["dkim/example.org.dkim.key"],
  },
  {
    entry: "nextcloud",
    layout: "nixos",
    directories: { home: "nextcloud", data: "nextcloud/data" },
    files: [
      "nextcloud/config/config.php",
      "nextcloud/data/alice/files/Über uns.md",
      "nextcloud/data/appdata_oc1/avatar/1.png",
    ],
    remade: ["nextcloud/data/appdata_oc1/preview/1.jpg", "nextcloud/data/nextcloud.log", "nextcloud/.rnd"],
    postgres: ["oc_activity", "oc_users", "oc_filecache", "oc_storages"],
  },
  {
    entry: "nextcloud",
    layout: "debian",
    directories: { home: "nextcloud", data: "cloud-data" },
    files: ["nextcloud/config/config.php", "nextcloud/themes/mine/theme.css", "cloud-data/alice/files/a.md"],
    mariadb: ["oc_activity", "oc_users", "oc_filecache"],
  },
  {
    ...docker,
    entry: "open-webui",
    directories: { data: "data" },
    files: ["data/uploads/u1_report.pdf", "data/vector_db/0a1b/data_level0.bin"],
    remade: ["data/cache/embedding/models/model.bin"],
    sqlite: {
      "data/webui.db": ["chat", "user", "file", "knowledge"],
      "data/vector_db/chroma.sqlite3": ["embeddings", "collections", "segments"],
    },
  },
  {
    ...docker,
    entry: "paperless",
    directories: { data: "data", media: "media" },
    files: ["data/index/_MAIN_1.toc", "data/classification_model.pickle", "media/documents/originals/0000001.pdf"],
    remade: ["data/log/paperless.log"],
    sqlite: { "data/db.sqlite3": ["documents_document", "auth_user", "documents_tag", "documents_correspondent"] },
  },
  {
    ...docker,
    entry: "pinchflat",
    directories: { data: "config", media: "downloads" },
    files: [
      "config/metadata/media_items/1/metadata.json.gz",
      "config/extras/cookies.txt",
      "downloads/Channel/film.mp4",
    ],
    remade: ["config/logs/pinchflat.log"],
    sqlite: { "config/db/pinchflat.db": ["media_items", "sources", "media_profiles", "oban_jobs"] },
  },
  arr("prowlarr", ["History", "Indexers", "Applications"]),
  arr("radarr", ["History", "Movies", "MovieFiles", "Indexers"]),
  arr("readarr", ["History", "Authors", "Books", "Editions"]),
  arr("sonarr", ["History", "Series", "Episodes", "EpisodeFiles"]),
  {
    ...docker,
    entry: "vaultwarden",
    directories: { data: "data" },
    files: ["data/rsa_key.pem", "data/config.json", "data/attachments/c1/a1", "data/sends/s1/f1"],
    remade: ["data/icon_cache/example.org.png", "data/tmp/upload"],
    sqlite: { "data/db.sqlite3": ["ciphers", "users", "folders", "attachments"] },
  },
];
