//! What KQL has and this engine refuses by name, and why.

const SERVICE: &str = "A query reaches no services outside.";
const CODE: &str = "Programs within a query are not run.";
const SHARDS: &str = "Rows are not told apart by where and when they were stored.";
const INTERNAL: &str = "It is an internal of the original's.";

/// Functions, aggregates and plugins, each with the reason that a person is told.
const REFUSED: &[(&str, &str)] = &[
    ("__cast", INTERNAL),
    ("__geo_length_to_s2cell_level", INTERNAL),
    ("__geo_line_s2cell_covering_level", INTERNAL),
    ("__geo_line_validate", INTERNAL),
    ("__geo_polygon_s2cell_covering_level", INTERNAL),
    ("__geo_polygon_validate", INTERNAL),
    ("__hash_crc32", INTERNAL),
    ("__hash_djb2", INTERNAL),
    ("__hash_many_crc32", INTERNAL),
    ("__hash_xxh64", INTERNAL),
    ("__hll_normalize", INTERNAL),
    ("__invoke", INTERNAL),
    ("__ipv6_lookup_ranges", INTERNAL),
    ("__lz4_compress_dynamic_array_to_base64_string", INTERNAL),
    ("ai_chat_completion", SERVICE),
    ("ai_chat_completion_prompt", SERVICE),
    ("ai_embed_text", SERVICE),
    ("ai_embeddings", SERVICE),
    ("azure_digital_twins_query_request", SERVICE),
    ("cluster", "database(\"name\") names another workspace."),
    ("cosmosdb", SERVICE),
    ("cosmosdb_sql_request", SERVICE),
    ("csharp", CODE),
    ("current_cursor", SHARDS),
    ("current_node_id", INTERNAL),
    ("cursor_after", SHARDS),
    ("cursor_before_or_at", SHARDS),
    ("cursor_current", SHARDS),
    ("database", "A table follows it: database(\"name\").Table."),
    ("dax_request", SERVICE),
    ("dictionary_merge", INTERNAL),
    ("diffpatterns_text", "How it looks for patterns is not documented."),
    ("entity_group", "It stands in 'let' and 'macro-expand'."),
    ("execute_query", SERVICE),
    ("execute_show_command", SERVICE),
    ("external_table", "Files elsewhere are read with externaldata, from hosts that the owner has allowed."),
    ("geo_info_from_ip_address", "It needs a register of addresses and places that is not part of this program."),
    ("graph", "Graphs are not kept between queries. Begin with 'make-graph'."),
    ("hash_combine", "How the hashes are put together is not documented."),
    ("hash_many", "How the hashes are put together is not documented."),
    ("http_request", SERVICE),
    ("http_request_post", SERVICE),
    ("infer_storage_schema", SERVICE),
    ("infer_storage_schema_with_suggestions", SERVICE),
    ("materialized_view", "Views are functions here, see '.create-or-alter function with (view=true)'."),
    ("mysql_request", SERVICE),
    ("parse_user_agent", "It needs a list of browsers and systems that is not part of this program."),
    ("parse_version", "Its numbers need 25 digits before the point; decimals hold 20 here."),
    ("postgresql_request", SERVICE),
    ("python", CODE),
    ("r", CODE),
    ("row_id", SHARDS),
    ("rowstore_ordinal_range", INTERNAL),
    ("sql_request", SERVICE),
    ("stored_query_result", "Results are not kept between queries."),
    ("table", "It gives rows, not a value."),
];

/// Why `name`, which KQL has, is refused: a sentence. `None` where KQL has no such thing, or this engine runs it.
pub fn refusal(name: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(refused, _)| *refused == name).map(|(_, reason)| *reason)
}
