//! Functions that KQL has and this engine refuses by name until they are built.

/// Families whose functions all begin alike.
const FAMILIES: [&str; 2] = ["geo_", "series_"];

const NAMES: &[&str] = &[
    "__cast",
    "__geo_length_to_s2cell_level",
    "__geo_line_s2cell_covering_level",
    "__geo_line_validate",
    "__geo_polygon_s2cell_covering_level",
    "__geo_polygon_validate",
    "__hash_crc32",
    "__hash_djb2",
    "__hash_many_crc32",
    "__hash_xxh64",
    "__hll_normalize",
    "__invoke",
    "__ipv6_lookup_ranges",
    "__lz4_compress_dynamic_array_to_base64_string",
    "around",
    "assert",
    "cluster",
    "current_cursor",
    "current_node_id",
    "current_principal_details",
    "cursor_after",
    "cursor_before_or_at",
    "cursor_current",
    "database",
    "datepart",
    "entity_group",
    "estimate_data_size",
    "extent_id",
    "extent_tags",
    "extentid",
    "external_table",
    "graph",
    "hash_combine",
    "hash_many",
    "iscolumnexists",
    "labels",
    "materialized_view",
    "notnull",
    "parse_user_agent",
    "parse_version",
    "punycode_domain_from_string",
    "punycode_domain_to_string",
    "punycode_from_string",
    "punycode_to_string",
    "row_id",
    "rowstore_ordinal_range",
    "set_equals",
    "stored_query_result",
    "table",
    "totime",
    "treepath",
];

/// Whether `name` is a function of KQL that is not built yet.
pub fn is_planned(name: &str) -> bool {
    NAMES.contains(&name) || FAMILIES.iter().any(|family| name.starts_with(family))
}
