/** By service and table: its columns. Tables that are not here have one column, a stand-in. */
export type Columns = Readonly<Record<string, readonly string[]>>;

const words = (text: string): string[] => text.split(" ");

/** The columns' names are facts of the services' schemas, read in the file that is named; nothing else is taken from it. */
export const COLUMNS: Readonly<Record<string, Columns>> = {
  // advplyr/audiobookshelf server/models/MediaProgress.js
  audiobookshelf: {
    mediaProgresses: words(
      "id mediaItemId mediaItemType duration currentTime isFinished hideFromContinueListening ebookLocation ebookProgress finishedAt extraData createdAt updatedAt userId",
    ),
  },
  // morpheus65535/bazarr bazarr/app/database.py
  bazarr: {
    table_history: words(
      "id action description language provider score sonarrEpisodeId sonarrSeriesId subs_id subtitles_path timestamp video_path",
    ),
    table_shows: words(
      "tvdbId alternativeTitles audio_language fanart imdbId monitored overview path poster profileId seriesType sonarrSeriesId sortTitle tags title year",
    ),
  },
  // grocy/grocy migrations/0001.sql, 0004.sql
  grocy: {
    products: words(
      "id name description location_id qu_id_purchase qu_id_stock qu_factor_purchase_to_stock barcode min_stock_amount default_best_before_days row_created_timestamp",
    ),
    stock: words("id product_id amount best_before_date purchased_date stock_id row_created_timestamp"),
  },
  // home-assistant/core homeassistant/components/recorder/db_schema.py
  "home-assistant": {
    states: words(
      "state_id entity_id state attributes event_id last_changed last_changed_ts last_updated last_updated_ts old_state_id attributes_id context_id context_user_id context_parent_id origin_idx context_id_bin context_user_id_bin context_parent_id_bin metadata_id",
    ),
    states_meta: words("metadata_id entity_id"),
    statistics: words(
      "id created created_ts metadata_id start start_ts mean min max last_reset last_reset_ts state sum",
    ),
  },
  // lldap/lldap server/src/domain/model/users.rs, memberships.rs
  lldap: {
    users: words("user_id email lowercase_email display_name creation_date password_hash totp_secret mfa_type uuid"),
    memberships: words("user_id group_id"),
  },
  // Radarr/Radarr src/NzbDrone.Core/Datastore/Migration/001_initial_setup.cs
  radarr: {
    Movies: words(
      "Id ImdbId Title TitleSlug SortTitle CleanTitle Status Overview Images Path Monitored ProfileId LastInfoSync LastDiskSync Runtime InCinemas Year Added Actors Ratings Genres Tags Certification AddOptions",
    ),
    Indexers: words("Id Name Implementation Settings ConfigContract EnableRss EnableSearch"),
  },
};
