//! Which kernel a call by name means: the list of functions with plain signatures.
//!
//! Functions whose result type depends on more than their argument types (`iff`, `case`, `bin` …) are bound
//! in [`crate::bind`]; both lists together are what the engine knows.

use super::geo::{self, cells, covering, hexagons, sets, simplify, wkt};
use super::{
    Kernel, array, codec, convert, datetime, distributions, dynamic, math, network, punycode, regexes, series, sketch,
    string, time_zones, xml,
};
use kql::Type;

/// What an argument may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    /// A string; dynamic values are taken as their text.
    Text,
    /// A value of any type, taken as its text.
    Printed,
    /// A string that must be the same for every row and hold a regular expression.
    Pattern,
    /// int; where a long gives another result.
    Int,
    /// int or long.
    Integer,
    /// Any number.
    Number,
    Bool,
    DateTime,
    TimeSpan,
    /// A dynamic value.
    Dynamic,
    /// A value of any type, turned into a dynamic one.
    Value,
    /// A value of any type but dynamic, turned into a dynamic one.
    Plain,
    /// A value of any type but dynamic, taken as its text.
    Scalar,
}

/// One way to call a function.
pub struct Signature {
    pub name: &'static str,
    pub parameters: &'static [Parameter],
    /// How many of the parameters must be given.
    pub required: usize,
    /// Whether the last parameter may repeat.
    pub repeats: bool,
    pub kernel: &'static Kernel,
}

pub(super) const fn fixed(name: &'static str, parameters: &'static [Parameter], kernel: &'static Kernel) -> Signature {
    Signature { name, parameters, required: parameters.len(), repeats: false, kernel }
}

pub(super) const fn optional(
    name: &'static str,
    parameters: &'static [Parameter],
    required: usize,
    kernel: &'static Kernel,
) -> Signature {
    Signature { name, parameters, required, repeats: false, kernel }
}

pub(super) const fn repeating(
    name: &'static str,
    parameters: &'static [Parameter],
    required: usize,
    kernel: &'static Kernel,
) -> Signature {
    Signature { name, parameters, required, repeats: true, kernel }
}

use Parameter::{
    Bool, DateTime, Dynamic, Int, Integer, Number, Pattern, Plain, Printed, Scalar, Text, TimeSpan, Value,
};

/// Every function with a plain signature.
pub fn all() -> impl Iterator<Item = &'static Signature> {
    SIGNATURES.iter().chain(series::SIGNATURES)
}

/// Overloads stand side by side.
static SIGNATURES: &[Signature] = &[
    // Text.
    fixed("tolower", &[Printed], &string::TOLOWER),
    fixed("toupper", &[Printed], &string::TOUPPER),
    fixed("reverse", &[Printed], &string::REVERSE),
    fixed("strlen", &[Text], &string::STRLEN),
    fixed("string_size", &[Text], &string::STRING_SIZE),
    optional("substring", &[Printed, Integer, Integer], 2, &string::SUBSTRING),
    optional("indexof", &[Printed, Printed, Integer, Integer, Integer], 2, &string::INDEXOF),
    fixed("replace_string", &[Text, Text, Text], &string::REPLACE_STRING),
    fixed("replace_regex", &[Text, Pattern, Text], &regexes::REPLACE_REGEX),
    fixed("replace", &[Pattern, Text, Text], &regexes::REPLACE),
    optional("split", &[Printed, Text, Integer], 2, &string::SPLIT),
    optional("strrep", &[Printed, Integer, Printed], 2, &string::STRREP),
    fixed("strcmp", &[Printed, Printed], &string::STRCMP),
    fixed("trim", &[Pattern, Text], &regexes::TRIM),
    fixed("trim_start", &[Pattern, Text], &regexes::TRIM_START),
    fixed("trim_end", &[Pattern, Text], &regexes::TRIM_END),
    optional("countof", &[Text, Text, Text], 2, &regexes::COUNTOF),
    fixed("extract_all", &[Pattern, Text], &regexes::EXTRACT_ALL),
    fixed("extract_all", &[Pattern, Dynamic, Text], &regexes::EXTRACT_GROUPS),
    fixed("base64_encode_tostring", &[Text], &string::BASE64_ENCODE),
    fixed("base64_decode_tostring", &[Text], &string::BASE64_DECODE),
    fixed("base64_decodestring", &[Text], &string::BASE64_DECODE),
    fixed("base64_encodestring", &[Text], &string::BASE64_ENCODE),
    fixed("url_encode", &[Text], &string::URL_ENCODE),
    fixed("url_decode", &[Text], &string::URL_DECODE),
    fixed("parse_url", &[Text], &string::PARSE_URL),
    fixed("punycode_from_string", &[Text], &punycode::FROM_STRING),
    fixed("punycode_to_string", &[Text], &punycode::TO_STRING),
    fixed("punycode_domain_from_string", &[Text], &punycode::DOMAIN_FROM_STRING),
    fixed("punycode_domain_to_string", &[Text], &punycode::DOMAIN_TO_STRING),
    fixed("parse_xml", &[Text], &xml::PARSE_XML),
    optional("tohex", &[Int, Integer], 1, &string::TOHEX_INT),
    optional("tohex", &[Integer, Integer], 1, &string::TOHEX),
    fixed("translate", &[Text, Text, Text], &string::TRANSLATE),
    fixed("replace_strings", &[Text, Dynamic, Value], &string::REPLACE_STRINGS),
    fixed("has_any_index", &[Text, Dynamic], &string::HAS_ANY_INDEX),
    fixed("isascii", &[Printed], &string::IS_ASCII),
    fixed("isutf8", &[Printed], &string::IS_UTF8),
    fixed("regex_quote", &[Printed], &string::REGEX_QUOTE),
    fixed("url_encode_component", &[Text], &string::URL_ENCODE_COMPONENT),
    optional("format_bytes", &[Number, Integer, Text], 1, &string::FORMAT_BYTES),
    fixed("parse_urlquery", &[Text], &string::PARSE_URLQUERY),
    fixed("parseurlquery", &[Text], &string::PARSE_URLQUERY),
    fixed("parseurl", &[Text], &string::PARSE_URL),
    fixed("parse_csv", &[Text], &string::PARSE_CSV),
    fixed("parse_path", &[Text], &string::PARSE_PATH),
    fixed("parse_command_line", &[Printed, Text], &string::PARSE_COMMAND_LINE),
    optional("indexof_regex", &[Printed, Pattern, Integer, Integer, Integer], 2, &regexes::INDEXOF_REGEX),
    fixed("extractall", &[Pattern, Dynamic, Text], &regexes::EXTRACT_GROUPS),
    fixed("extractall", &[Pattern, Text], &regexes::EXTRACT_ALL),
    fixed("unicode_codepoints_from_string", &[Printed], &array::CODEPOINTS),
    fixed("to_utf8", &[Printed], &array::CODEPOINTS),
    repeating("unicode_codepoints_to_string", &[Value], 1, &array::FROM_CODEPOINTS),
    repeating("make_string", &[Value], 1, &array::FROM_CODEPOINTS),
    // Encodings and digests.
    fixed("hash_md5", &[Scalar], &codec::MD5),
    fixed("hash_sha1", &[Scalar], &codec::SHA1),
    fixed("hash_sha256", &[Scalar], &codec::SHA256),
    optional("hash", &[Integer, Integer], 1, &codec::XXHASH64_LONG),
    optional("hash", &[DateTime, Integer], 1, &codec::XXHASH64_LONG),
    optional("hash", &[TimeSpan, Integer], 1, &codec::XXHASH64_LONG),
    optional("hash", &[Number, Integer], 1, &codec::XXHASH64_REAL),
    optional("hash", &[Scalar, Integer], 1, &codec::XXHASH64),
    optional("hash_xxhash64", &[Integer, Integer], 1, &codec::XXHASH64_LONG),
    optional("hash_xxhash64", &[DateTime, Integer], 1, &codec::XXHASH64_LONG),
    optional("hash_xxhash64", &[TimeSpan, Integer], 1, &codec::XXHASH64_LONG),
    optional("hash_xxhash64", &[Number, Integer], 1, &codec::XXHASH64_REAL),
    optional("hash_xxhash64", &[Scalar, Integer], 1, &codec::XXHASH64),
    fixed("new_guid", &[], &codec::NEW_GUID),
    fixed("base64_decode_toarray", &[Text], &codec::DECODE_TOARRAY),
    fixed("base64_encode_fromarray", &[Dynamic], &codec::ENCODE_FROMARRAY),
    fixed("base64_decode_toguid", &[Text], &codec::DECODE_TOGUID),
    fixed("base64_encode_fromguid", &[Printed], &codec::ENCODE_FROMGUID),
    fixed("gzip_compress_to_base64_string", &[Text], &codec::GZIP_COMPRESS),
    fixed("gzip_decompress_from_base64_string", &[Text], &codec::GZIP_DECOMPRESS),
    fixed("zlib_compress_to_base64_string", &[Text], &codec::ZLIB_COMPRESS),
    fixed("zlib_decompress_from_base64_string", &[Text], &codec::ZLIB_DECOMPRESS),
    // Arrays and bags.
    fixed("array_reverse", &[Dynamic], &array::REVERSE),
    fixed("array_rotate_left", &[Dynamic, Integer], &array::ROTATE_LEFT),
    fixed("array_rotate_right", &[Dynamic, Integer], &array::ROTATE_RIGHT),
    optional("array_shift_left", &[Dynamic, Integer, Value], 2, &array::SHIFT_LEFT),
    optional("array_shift_right", &[Dynamic, Integer, Value], 2, &array::SHIFT_RIGHT),
    fixed("array_split", &[Dynamic, Value], &array::SPLIT),
    fixed("array_sum", &[Dynamic], &array::SUM),
    fixed("array_iff", &[Dynamic, Value, Value], &array::IFF),
    fixed("array_iif", &[Dynamic, Value, Value], &array::IFF),
    repeating("zip", &[Dynamic], 2, &array::ZIP),
    fixed("repeat", &[Plain, Integer], &array::REPEAT),
    fixed("jaccard_index", &[Dynamic, Dynamic], &array::JACCARD_INDEX),
    fixed("bag_remove_keys", &[Dynamic, Dynamic], &array::BAG_REMOVE_KEYS),
    fixed("bag_set_key", &[Dynamic, Text, Value], &array::BAG_SET_KEY),
    fixed("bag_zip", &[Dynamic, Dynamic], &array::BAG_ZIP),
    fixed("dynamic_to_json", &[Value], &array::DYNAMIC_TO_JSON),
    // Dynamic values.
    fixed("array_length", &[Dynamic], &dynamic::ARRAY_LENGTH),
    fixed("arraylength", &[Dynamic], &dynamic::ARRAY_LENGTH),
    fixed("array_slice", &[Dynamic, Integer, Integer], &dynamic::ARRAY_SLICE),
    repeating("array_concat", &[Dynamic], 1, &dynamic::ARRAY_CONCAT),
    optional("array_index_of", &[Dynamic, Value, Integer, Integer, Integer], 2, &dynamic::ARRAY_INDEX_OF),
    fixed("strcat_array", &[Dynamic, Printed], &dynamic::STRCAT_ARRAY),
    fixed("array_strcat", &[Dynamic, Printed], &dynamic::STRCAT_ARRAY),
    repeating("set_union", &[Dynamic, Dynamic], 2, &dynamic::SET_UNION),
    repeating("set_intersect", &[Dynamic, Dynamic], 2, &dynamic::SET_INTERSECT),
    repeating("set_difference", &[Dynamic, Dynamic], 2, &dynamic::SET_DIFFERENCE),
    fixed("set_equals", &[Dynamic, Dynamic], &dynamic::SET_EQUALS),
    fixed("set_has_element", &[Dynamic, Value], &dynamic::SET_HAS_ELEMENT),
    fixed("treepath", &[Dynamic], &dynamic::TREEPATH),
    fixed("bag_keys", &[Dynamic], &dynamic::BAG_KEYS),
    repeating("bag_merge", &[Dynamic, Dynamic], 2, &dynamic::BAG_MERGE),
    fixed("bag_has_key", &[Dynamic, Text], &dynamic::BAG_HAS_KEY),
    // Times.
    optional("startofday", &[DateTime, Integer], 1, &datetime::STARTOFDAY),
    optional("startofweek", &[DateTime, Integer], 1, &datetime::STARTOFWEEK),
    optional("startofmonth", &[DateTime, Integer], 1, &datetime::STARTOFMONTH),
    optional("startofyear", &[DateTime, Integer], 1, &datetime::STARTOFYEAR),
    optional("endofday", &[DateTime, Integer], 1, &datetime::ENDOFDAY),
    optional("endofweek", &[DateTime, Integer], 1, &datetime::ENDOFWEEK),
    optional("endofmonth", &[DateTime, Integer], 1, &datetime::ENDOFMONTH),
    optional("endofyear", &[DateTime, Integer], 1, &datetime::ENDOFYEAR),
    fixed("datetime_add", &[Text, Integer, DateTime], &datetime::DATETIME_ADD),
    fixed("datetime_diff", &[Text, DateTime, DateTime], &datetime::DATETIME_DIFF),
    fixed("datetime_part", &[Text, DateTime], &datetime::DATETIME_PART),
    fixed("datepart", &[Text, DateTime], &datetime::DATETIME_PART),
    fixed("dayofweek", &[DateTime], &datetime::DAYOFWEEK),
    fixed("dayofmonth", &[DateTime], &datetime::DAYOFMONTH),
    fixed("dayofyear", &[DateTime], &datetime::DAYOFYEAR),
    fixed("hourofday", &[DateTime], &datetime::HOUROFDAY),
    fixed("monthofyear", &[DateTime], &datetime::MONTHOFYEAR),
    fixed("getmonth", &[DateTime], &datetime::MONTHOFYEAR),
    fixed("getyear", &[DateTime], &datetime::GETYEAR),
    fixed("week_of_year", &[DateTime], &datetime::WEEKOFYEAR),
    fixed("weekofyear", &[DateTime], &datetime::WEEKOFYEAR),
    optional("make_datetime", &[Integer, Integer, Integer, Integer, Integer, Number], 3, &datetime::MAKE_DATETIME),
    fixed("unixtime_seconds_todatetime", &[Number], &datetime::UNIX_SECONDS),
    fixed("unixtime_milliseconds_todatetime", &[Number], &datetime::UNIX_MILLISECONDS),
    fixed("unixtime_microseconds_todatetime", &[Number], &datetime::UNIX_MICROSECONDS),
    fixed("unixtime_nanoseconds_todatetime", &[Number], &datetime::UNIX_NANOSECONDS),
    optional("make_timespan", &[Number, Number, Number, Number], 2, &datetime::MAKE_TIMESPAN),
    fixed("format_datetime", &[DateTime, Text], &datetime::FORMAT_DATETIME),
    fixed("format_timespan", &[TimeSpan, Text], &datetime::FORMAT_TIMESPAN),
    // Numbers.
    fixed("abs", &[Integer], &math::ABS_LONG),
    fixed("abs", &[Number], &math::ABS_REAL),
    fixed("abs", &[TimeSpan], &math::ABS_TIMESPAN),
    optional("round", &[Number, Integer], 1, &math::ROUND),
    fixed("ceiling", &[Number], &math::CEILING),
    fixed("sqrt", &[Number], &math::SQRT),
    fixed("exp", &[Number], &math::EXP),
    fixed("log", &[Number], &math::LOG),
    fixed("log2", &[Number], &math::LOG2),
    fixed("log10", &[Number], &math::LOG10),
    fixed("pow", &[Number, Number], &math::POW),
    fixed("sign", &[Number], &math::SIGN),
    fixed("isnan", &[Number], &math::ISNAN),
    fixed("isinf", &[Number], &math::ISINF),
    fixed("isfinite", &[Number], &math::ISFINITE),
    fixed("pi", &[], &math::PI),
    fixed("acos", &[Number], &math::ACOS),
    fixed("asin", &[Number], &math::ASIN),
    fixed("atan", &[Number], &math::ATAN),
    fixed("atan2", &[Number, Number], &math::ATAN2),
    fixed("cos", &[Number], &math::COS),
    fixed("sin", &[Number], &math::SIN),
    fixed("tan", &[Number], &math::TAN),
    fixed("cot", &[Number], &math::COT),
    fixed("degrees", &[Number], &math::DEGREES),
    fixed("radians", &[Number], &math::RADIANS),
    fixed("exp2", &[Number], &math::EXP2),
    fixed("exp10", &[Number], &math::EXP10),
    fixed("gamma", &[Number], &math::GAMMA),
    fixed("loggamma", &[Number], &math::LOGGAMMA),
    fixed("erf", &[Number], &math::ERF),
    fixed("erfc", &[Number], &math::ERFC),
    optional("rand", &[Integer], 0, &math::RAND),
    fixed("binary_and", &[Integer, Integer], &math::BINARY_AND),
    fixed("binary_or", &[Integer, Integer], &math::BINARY_OR),
    fixed("binary_xor", &[Integer, Integer], &math::BINARY_XOR),
    fixed("binary_not", &[Integer], &math::BINARY_NOT),
    fixed("binary_shift_left", &[Integer, Integer], &math::SHIFT_LEFT),
    fixed("binary_shift_right", &[Integer, Integer], &math::SHIFT_RIGHT),
    fixed("bitset_count_ones", &[Integer], &math::COUNT_ONES),
    // Arrays of a range.
    optional("range", &[Integer, Integer, Integer], 2, &dynamic::RANGE_LONG),
    optional("range", &[Number, Number, Number], 2, &dynamic::RANGE_REAL),
    optional("range", &[DateTime, DateTime, TimeSpan], 2, &dynamic::RANGE_DATETIME),
    optional("range", &[TimeSpan, TimeSpan, TimeSpan], 2, &dynamic::RANGE_TIMESPAN),
    // Networks.
    fixed("ipv4_is_private", &[Text], &network::IPV4_IS_PRIVATE),
    optional("ipv4_is_match", &[Text, Text, Integer], 2, &network::IPV4_IS_MATCH),
    optional("ipv4_compare", &[Text, Text, Integer], 2, &network::IPV4_COMPARE),
    fixed("ipv4_is_in_range", &[Text, Text], &network::IPV4_IS_IN_RANGE),
    fixed("parse_ipv4", &[Text], &network::PARSE_IPV4),
    optional("format_ipv4", &[Printed, Integer], 1, &network::FORMAT_IPV4),
    optional("format_ipv4_mask", &[Printed, Integer], 1, &network::FORMAT_IPV4_MASK),
    fixed("parse_ipv4_mask", &[Text, Integer], &network::PARSE_IPV4_MASK),
    fixed("ipv4_netmask_suffix", &[Text], &network::IPV4_NETMASK_SUFFIX),
    repeating("ipv4_is_in_any_range", &[Text, Text], 2, &network::IPV4_IS_IN_ANY_RANGE),
    fixed("ipv4_range_to_cidr_list", &[Text, Text], &network::IPV4_RANGE_TO_CIDR_LIST),
    optional("ipv6_is_match", &[Text, Text, Integer], 2, &network::IPV6_IS_MATCH),
    optional("ipv6_compare", &[Text, Text, Integer], 2, &network::IPV6_COMPARE),
    fixed("ipv6_is_in_range", &[Text, Text], &network::IPV6_IS_IN_RANGE),
    repeating("ipv6_is_in_any_range", &[Text, Text], 2, &network::IPV6_IS_IN_ANY_RANGE),
    fixed("parse_ipv6", &[Text], &network::PARSE_IPV6),
    fixed("parse_ipv6_mask", &[Text, Integer], &network::PARSE_IPV6),
    fixed("has_ipv4", &[Text, Text], &network::HAS_IPV4),
    repeating("has_any_ipv4", &[Text, Text], 2, &network::HAS_IPV4),
    fixed("has_ipv4_prefix", &[Text, Text], &network::HAS_IPV4_PREFIX),
    repeating("has_any_ipv4_prefix", &[Text, Text], 2, &network::HAS_IPV4_PREFIX),
    fixed("datetime_utc_to_local", &[DateTime, Text], &time_zones::UTC_TO_LOCAL),
    fixed("datetime_local_to_utc", &[DateTime, Text], &time_zones::LOCAL_TO_UTC),
    fixed("datetime_list_timezones", &[], &time_zones::LIST_TIMEZONES),
    fixed("beta_cdf", &[Number, Number, Number], &distributions::BETA_CDF),
    fixed("beta_inv", &[Number, Number, Number], &distributions::BETA_INV),
    fixed("beta_pdf", &[Number, Number, Number], &distributions::BETA_PDF),
    fixed("welch_test", &[Number, Number, Number, Number, Number, Number], &distributions::WELCH_TEST),
    // Units of measure.
    fixed("convert_angle", &[Number, Text, Text], &convert::CONVERT_ANGLE),
    fixed("convert_energy", &[Number, Text, Text], &convert::CONVERT_ENERGY),
    fixed("convert_force", &[Number, Text, Text], &convert::CONVERT_FORCE),
    fixed("convert_length", &[Number, Text, Text], &convert::CONVERT_LENGTH),
    fixed("convert_mass", &[Number, Text, Text], &convert::CONVERT_MASS),
    fixed("convert_speed", &[Number, Text, Text], &convert::CONVERT_SPEED),
    fixed("convert_temperature", &[Number, Text, Text], &convert::CONVERT_TEMPERATURE),
    fixed("convert_volume", &[Number, Text, Text], &convert::CONVERT_VOLUME),
    // Sketches.
    repeating("hll_merge", &[Dynamic], 2, &sketch::HLL_MERGE),
    fixed("hll_isvalid", &[Dynamic], &sketch::HLL_ISVALID),
    fixed("dcount_hll", &[Dynamic], &sketch::DCOUNT_HLL),
    repeating("merge_tdigest", &[Dynamic], 2, &sketch::MERGE_TDIGEST),
    repeating("tdigest_merge", &[Dynamic], 2, &sketch::MERGE_TDIGEST),
    fixed("tdigest_isvalid", &[Dynamic], &sketch::TDIGEST_ISVALID),
    fixed("rank_tdigest", &[Dynamic, Value], &sketch::RANK_TDIGEST),
    fixed("percentrank_tdigest", &[Dynamic, Value], &sketch::PERCENTRANK_TDIGEST),
    repeating("percentiles_array_tdigest", &[Dynamic, Value], 2, &sketch::PERCENTILES_ARRAY_TDIGEST),
    repeating("percentile_array_tdigest", &[Dynamic, Value], 2, &sketch::PERCENTILES_ARRAY_TDIGEST),
    optional("geo_distance_2points", &[Number, Number, Number, Number, Bool], 4, &geo::DISTANCE_2POINTS),
    fixed("geo_azimuth", &[Number, Number, Number, Number], &geo::AZIMUTH),
    fixed("geo_angle", &[Number, Number, Number, Number, Number, Number], &geo::ANGLE),
    fixed("geo_point_in_circle", &[Number, Number, Number, Number, Number], &geo::POINT_IN_CIRCLE),
    fixed("geo_point_in_polygon", &[Number, Number, Dynamic], &geo::POINT_IN_POLYGON),
    fixed("geo_distance_point_to_line", &[Number, Number, Dynamic], &geo::DISTANCE_POINT_TO_LINE),
    fixed("geo_distance_point_to_polygon", &[Number, Number, Dynamic], &geo::DISTANCE_POINT_TO_POLYGON),
    fixed("geo_closest_point_on_line", &[Number, Number, Dynamic], &geo::CLOSEST_POINT_ON_LINE),
    fixed("geo_closest_point_on_polygon", &[Number, Number, Dynamic], &geo::CLOSEST_POINT_ON_POLYGON),
    fixed("geo_line_length", &[Dynamic], &geo::LINE_LENGTH),
    fixed("geo_line_centroid", &[Dynamic], &geo::LINE_CENTROID),
    fixed("geo_line_interpolate_point", &[Dynamic, Number], &geo::LINE_INTERPOLATE_POINT),
    fixed("geo_line_locate_point", &[Dynamic, Number, Number], &geo::LINE_LOCATE_POINT),
    optional("geo_line_simplify", &[Dynamic, Number], 1, &geo::LINE_SIMPLIFY),
    optional("geo_line_densify", &[Dynamic, Number], 1, &geo::LINE_DENSIFY),
    optional("geo_polygon_densify", &[Dynamic, Number], 1, &geo::POLYGON_DENSIFY),
    fixed("geo_polygon_area", &[Dynamic], &geo::POLYGON_AREA),
    fixed("geo_polygon_perimeter", &[Dynamic], &geo::POLYGON_PERIMETER),
    fixed("geo_polygon_centroid", &[Dynamic], &geo::POLYGON_CENTROID),
    fixed("geo_intersects_2lines", &[Dynamic, Dynamic], &geo::INTERSECTS_2LINES),
    fixed("geo_intersects_line_with_polygon", &[Dynamic, Dynamic], &geo::INTERSECTS_LINE_WITH_POLYGON),
    fixed("geo_intersects_2polygons", &[Dynamic, Dynamic], &geo::INTERSECTS_2POLYGONS),
    fixed("geo_intersection_2lines", &[Dynamic, Dynamic], &sets::INTERSECTION_2LINES),
    fixed("geo_intersection_2polygons", &[Dynamic, Dynamic], &sets::INTERSECTION_2POLYGONS),
    fixed("geo_intersection_line_with_polygon", &[Dynamic, Dynamic], &sets::INTERSECTION_LINE_WITH_POLYGON),
    fixed("geo_union_lines_array", &[Dynamic], &sets::UNION_LINES_ARRAY),
    fixed("geo_union_polygons_array", &[Dynamic], &sets::UNION_POLYGONS_ARRAY),
    optional("geo_polygon_simplify", &[Dynamic, Number], 1, &simplify::POLYGON_SIMPLIFY),
    optional("geo_simplify_polygons_array", &[Dynamic, Number], 1, &simplify::SIMPLIFY_POLYGONS_ARRAY),
    fixed("geo_from_wkt", &[Text], &wkt::FROM_WKT),
    optional("geo_point_buffer", &[Number, Number, Number, Number], 3, &sets::POINT_BUFFER),
    optional("geo_line_buffer", &[Dynamic, Number, Number], 2, &sets::LINE_BUFFER),
    optional("geo_polygon_buffer", &[Dynamic, Number, Number], 2, &sets::POLYGON_BUFFER),
    optional("geo_point_to_geohash", &[Number, Number, Integer], 2, &cells::POINT_TO_GEOHASH),
    fixed("geo_geohash_to_central_point", &[Text], &cells::GEOHASH_TO_CENTRAL_POINT),
    fixed("geo_geohash_to_polygon", &[Text], &cells::GEOHASH_TO_POLYGON),
    fixed("geo_geohash_neighbors", &[Text], &cells::GEOHASH_NEIGHBORS),
    optional("geo_point_to_s2cell", &[Number, Number, Integer], 2, &cells::POINT_TO_S2CELL),
    optional("geo_line_to_s2cells", &[Dynamic, Integer, Number], 1, &covering::LINE_TO_S2CELLS),
    optional("geo_polygon_to_s2cells", &[Dynamic, Integer, Number], 1, &covering::POLYGON_TO_S2CELLS),
    fixed("geo_s2cell_to_central_point", &[Text], &cells::S2CELL_TO_CENTRAL_POINT),
    fixed("geo_s2cell_to_polygon", &[Text], &cells::S2CELL_TO_POLYGON),
    fixed("geo_s2cell_neighbors", &[Text], &cells::S2CELL_NEIGHBORS),
    optional("geo_point_to_h3cell", &[Number, Number, Integer], 2, &cells::POINT_TO_H3CELL),
    optional("geo_polygon_to_h3cells", &[Dynamic, Integer, Number], 1, &hexagons::POLYGON_TO_H3CELLS),
    fixed("geo_h3cell_to_central_point", &[Text], &cells::H3CELL_TO_CENTRAL_POINT),
    fixed("geo_h3cell_to_polygon", &[Text], &cells::H3CELL_TO_POLYGON),
    fixed("geo_h3cell_level", &[Text], &cells::H3CELL_LEVEL),
    optional("geo_h3cell_parent", &[Text, Integer], 1, &cells::H3CELL_PARENT),
    optional("geo_h3cell_children", &[Text, Integer], 1, &cells::H3CELL_CHILDREN),
    fixed("geo_h3cell_neighbors", &[Text], &cells::H3CELL_NEIGHBORS),
    fixed("geo_h3cell_rings", &[Text, Integer], &cells::H3CELL_RINGS),
];

impl Parameter {
    /// How well a value of `given` fits: 0 as it is, more the further it must be converted, `None` not at all.
    pub fn cost(self, given: Type) -> Option<u32> {
        Some(match (self, given) {
            (Text | Pattern | Printed | Scalar, Type::String)
            | (Int, Type::Int)
            | (Integer, Type::Long | Type::Int)
            | (Number, Type::Real)
            | (Bool, Type::Bool)
            | (DateTime, Type::DateTime)
            | (TimeSpan, Type::TimeSpan)
            | (Dynamic | Value, Type::Dynamic) => 0,
            (Number, Type::Long | Type::Int | Type::Decimal) => 1,
            (Plain | Scalar, Type::Dynamic) => return None,
            (Value | Printed | Plain | Scalar, _) => 1,
            (Text, Type::Dynamic) => 2,
            _ => return None,
        })
    }

    /// The type that a value is given before the call.
    pub fn target(self) -> Type {
        match self {
            Text | Pattern | Printed | Scalar => Type::String,
            Int | Integer => Type::Long,
            Number => Type::Real,
            Bool => Type::Bool,
            DateTime => Type::DateTime,
            TimeSpan => Type::TimeSpan,
            Dynamic | Value | Plain => Type::Dynamic,
        }
    }

    /// The word for the parameter in a message.
    pub fn describe(self) -> &'static str {
        match self {
            Text => "a string",
            Printed | Scalar => "a value",
            Pattern => "a regular expression",
            Int => "an int",
            Integer => "an integer",
            Number => "a number",
            Bool => "a bool",
            DateTime => "a datetime",
            TimeSpan => "a timespan",
            Dynamic => "a dynamic value",
            Value => "a value",
            Plain => "a value that is not dynamic",
        }
    }
}
