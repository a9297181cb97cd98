import type { Layout } from "../../shared/catalog.ts";
import type { Names } from "./tables.ts";

/**
 * What one service's files and database look like on a host: their real names, with little in them. A path begins with
 * the name of the layout's parameter that says where that directory is.
 *
 * The tables have the names of the service's own schema; their columns too where `columns.ts` has them, else one
 * stand-in. No table has types, keys or defaults: those are the service's text.
 */
export interface Shape {
  readonly entry: string;
  /** Only in these layouts; else in all, as far as no container has to run. */
  readonly layouts?: readonly Layout[];
  /** Files that have to come back as they were. */
  readonly files: readonly string[];
  /** Files that the template leaves out: the service makes them anew. */
  readonly remade?: readonly string[];
  /** SQLite files and the tables in them; the first is written to while it is backed up. */
  readonly sqlite?: Readonly<Record<string, Names>>;
  /** Its tables, where the layout has it in a server. */
  readonly served?: Names;
}

function arr(entry: string, tables: Names): Shape {
  return {
    entry,
    files: ["data/config.xml", "data/Backups/scheduled/backup_v5.zip", "data/asp/key-1.xml"],
    remade: ["data/logs.db", "data/logs.db-wal", "data/logs/app.txt", "data/app.pid"],
    sqlite: { [`data/${entry}.db`]: tables },
  };
}

const FIREFLY: Names = ["transaction_journals", "users", "accounts", "attachments"];
const FORGEJO: Names = ["action", "user", "repository", "issue"];
const PAPERLESS: Names = ["documents_document", "auth_user", "documents_tag", "documents_correspondent"];
const VAULTWARDEN: Names = ["ciphers", "users", "folders", "attachments"];

export const SHAPES: readonly Shape[] = [
  {
    entry: "audiobookshelf",
    files: ["config/migrations/v2.15.0.js", "metadata/items/li_1/cover.jpg", "metadata/backups/2026.audiobookshelf"],
    remade: ["metadata/cache/covers/1.webp", "metadata/logs/daily/2026-11-25.txt"],
    sqlite: { "config/absdatabase.sqlite": ["mediaProgresses", "users", "libraries", "libraryItems"] },
  },
  {
    entry: "bazarr",
    files: ["data/config/config.yaml", "data/backup/bazarr_backup.zip"],
    remade: ["data/log/bazarr.log", "data/cache/dogpile"],
    sqlite: { "data/db/bazarr.db": ["table_history", "table_shows", "table_episodes", "table_movies"] },
  },
  {
    entry: "deluge",
    layouts: ["nixos"],
    files: [
      "data/.config/deluge/core.conf",
      "data/.config/deluge/web.conf",
      "data/.config/deluge/auth",
      "data/.config/deluge/state/torrents.state",
      "data/.config/deluge/state/0a1b.torrent",
    ],
  },
  {
    entry: "deluge",
    layouts: ["debian", "docker"],
    files: ["data/core.conf", "data/auth", "data/state/torrents.state", "data/state/0a1b.torrent"],
  },
  {
    entry: "firefly-iii",
    layouts: ["nixos"],
    files: ["data/storage/upload/at-1.data"],
    remade: ["data/storage/framework/cache/data/aa", "data/storage/logs/ff3.log"],
    served: FIREFLY,
  },
  {
    entry: "firefly-iii",
    layouts: ["debian"],
    files: ["home/storage/upload/at-1.data", "home/.env"],
    remade: ["home/artisan", "home/storage/logs/ff3.log"],
    sqlite: { "home/storage/database/database.sqlite": FIREFLY },
    served: FIREFLY,
  },
  {
    entry: "forgejo",
    layouts: ["nixos", "debian"],
    files: ["data/repositories/me/x.git/HEAD", "data/custom/conf/app.ini", "data/data/attachments/a/b/ab"],
    remade: ["data/log/gitea.log", "data/data/indexers/issues.bleve/store"],
    sqlite: { "data/data/forgejo.db": FORGEJO },
    served: FORGEJO,
  },
  {
    entry: "forgejo",
    layouts: ["docker"],
    files: ["data/git/repositories/me/x.git/HEAD", "data/gitea/conf/app.ini", "data/ssh/ssh_host_ed25519_key"],
    remade: ["data/gitea/log/gitea.log"],
    sqlite: { "data/gitea/gitea.db": FORGEJO },
  },
  {
    entry: "grocy",
    files: ["data/config.php", "data/storage/productpictures/bread.jpg", "data/plugins/x.php"],
    remade: ["data/viewcache/1.php"],
    sqlite: { "data/grocy.db": ["stock_log", "products", "stock", "chores"] },
  },
  {
    entry: "hledger",
    files: ["journals/hledger.journal", "journals/2026/11.journal"],
  },
  {
    entry: "home-assistant",
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
    layouts: ["nixos", "debian"],
    files: [
      "media/upload/u1/ab/cd/photo.jpg",
      "media/library/me/2026/film.mp4",
      "media/profile/u1/me.webp",
      "media/thumbs/u1/t.webp",
    ],
    remade: ["media/encoded-video/u1/film.mp4", "media/upload/u1/x.tmp"],
    served: ["asset", "user", "album", "person"],
  },
  {
    entry: "jackett",
    layouts: ["nixos", "debian"],
    files: ["data/ServerConfig.json", "data/Indexers/some.json", "data/DataProtection/key-1.xml"],
    remade: ["data/log.txt"],
  },
  {
    entry: "jackett",
    layouts: ["docker"],
    files: [
      "data/Jackett/ServerConfig.json",
      "data/Jackett/Indexers/some.json",
      "data/Jackett/DataProtection/key-1.xml",
    ],
    remade: ["data/Jackett/log.txt"],
  },
  {
    entry: "jellyfin",
    files: ["data/root/default/Films/options.xml", "data/metadata/library/ab/poster.jpg", "data/plugins/x/meta.json"],
    remade: ["data/log/log_20261125.log", "data/transcodes/1.ts"],
    sqlite: {
      "databases/jellyfin.db": ["ActivityLogs", "Users", "BaseItems", "UserData"],
      "databases/library.db": ["TypedBaseItems", "UserDatas", "mediastreams"],
    },
  },
  {
    entry: "karakeep",
    files: ["data/assets/u1/a1/asset.bin", "data/assets/u1/a1/metadata.json"],
    remade: ["data/queue.db", "data/queue.db-wal"],
    sqlite: { "data/db.db": ["bookmarks", "user", "bookmarkLinks", "assets"] },
  },
  arr("lidarr", ["History", "Artists", "Albums", "Indexers"]),
  {
    entry: "lldap",
    files: ["data/private_key"],
    sqlite: { "data/users.db": ["users", "groups", "memberships", "jwt_refresh_storage"] },
  },
  {
    entry: "mail",
    files: [
      "mail/example.org/alice/cur/1764057600.M1P2.mx,S=12,W=13:2,S",
      "mail/example.org/alice/.Sent/cur/1764057601.M1P2.mx:2,",
      "mail/example.org/alice/new/1764057602.M1P2.mx",
    ],
  },
  { entry: "mail-dkim", files: ["keys/example.org.dkim.key"] },
  {
    entry: "nextcloud",
    layouts: ["nixos"],
    files: ["home/config/config.php", "data/alice/files/Über uns.md", "data/appdata_oc1/avatar/1.png"],
    remade: ["data/appdata_oc1/preview/1.jpg", "data/nextcloud.log", "home/.rnd"],
    served: ["oc_activity", "oc_users", "oc_filecache", "oc_storages"],
  },
  {
    entry: "nextcloud",
    layouts: ["debian"],
    files: ["home/config/config.php", "home/themes/mine/theme.css", "data/alice/files/a.md"],
    served: ["oc_activity", "oc_users", "oc_filecache"],
  },
  {
    entry: "open-webui",
    files: ["data/uploads/u1_report.pdf", "data/vector_db/0a1b/data_level0.bin"],
    remade: ["data/cache/embedding/models/model.bin"],
    sqlite: {
      "data/webui.db": ["chat", "user", "file", "knowledge"],
      "data/vector_db/chroma.sqlite3": ["embeddings", "collections", "segments"],
    },
  },
  {
    entry: "paperless",
    files: ["data/index/_MAIN_1.toc", "data/classification_model.pickle", "media/documents/originals/0000001.pdf"],
    remade: ["data/log/paperless.log"],
    sqlite: { "data/db.sqlite3": PAPERLESS },
    served: PAPERLESS,
  },
  {
    entry: "pinchflat",
    files: ["data/metadata/media_items/1/metadata.json.gz", "data/extras/cookies.txt", "media/Channel/film.mp4"],
    remade: ["data/logs/pinchflat.log"],
    sqlite: { "data/db/pinchflat.db": ["media_items", "sources", "media_profiles", "oban_jobs"] },
  },
  arr("prowlarr", ["History", "Indexers", "Applications"]),
  arr("radarr", ["History", "Movies", "MovieFiles", "Indexers"]),
  arr("readarr", ["History", "Authors", "Books", "Editions"]),
  arr("sonarr", ["History", "Series", "Episodes", "EpisodeFiles"]),
  {
    entry: "vaultwarden",
    files: ["data/rsa_key.pem", "data/vaultwarden.env", "data/attachments/c1/a1", "data/sends/s1/f1"],
    remade: ["data/icon_cache/example.org.png", "data/tmp/upload"],
    sqlite: { "data/db.sqlite3": VAULTWARDEN },
    served: VAULTWARDEN,
  },
];
