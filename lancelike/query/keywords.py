"""The words that SQL keeps for itself, and the functions that Lance's SQL has."""

from __future__ import annotations

_KEYWORDS = """
abort abs absent absolute acceptanydate acceptinvchars access account action add addquotes admin after against
aggregate aggregation alert algorithm alias alignment all allocate allowoverwrite alter always analyze and anti
any application apply applybudget archive are array array_max_cardinality as asc asensitive asof assert
asymmetric at atomic attach audit authentication authorization authorizations auto auto_increment
autoextend_size autoincrement avg avg_row_length avro backup backward base64 base_location before begin
begin_frame begin_partition bernoulli between bigdecimal bigint bignumeric binary bind binding bit blanksasnull
blob block bloom bloomfilter bool boolean boost both box brin browse btree bucket buckets by bypassrls bytea
bytes bzip2 cache call called canonical cardinality cascade cascaded case cases cast catalog catalog_sync
catalog_sync_namespace_flatten_delimiter catalog_sync_namespace_mode catalogs catch category ceil ceiling
century chain change change_tracking changes channel char char_length character character_length characteristics
characters charset check checksum circle class cleanpath clear clob clone close cluster clustered clustering
coalesce collatable collate collation collect collection column columns columnstore comment commit committed
commutator compatible compress compression compupdate compute concurrently condition conflict connect
connect_by_root connection connector constraint contact contains continue convert copy copy_options corr
corresponding cost count covar_pop covar_samp create createdb createrole credentials cross csv cube cume_dist
current current_catalog current_date current_default_transform_group current_path current_role current_row
current_schema current_time current_timestamp current_transform_group_for_type current_user cursor cycle data
data_retention_time_in_days database databases date date32 dateformat datetime datetime64 day dayofweek
dayofyear days dcproperties deallocate dec decade decimal declare deduplicate default default_ddl_collation
default_mfa_method default_secondary_roles defaults deferrable deferred define defined definer delay
delay_key_write delayed delegated delete delimited delimiter delta dense_rank deny depends deref desc describe
detach detail deterministic dimensions directory disable discard disconnect distinct distinctrow distkey
distribute diststyle div do domain double dow downstream doy drop dry duo duplicate dynamic each element
elements else elseif empty emptyasnull enable enable_schema_evolution encoding encrypted encryption end
end_frame end_partition endpoint enforced engine engine_attribute enroll enum enum16 enum8 ephemeral epoch
equals error escape escaped estimate even event every evolve except exception exchange exclude excluding
exclusive exec execute execution exists exp expansion explain explicit export extend extended extension external
external_volume extract facts fail failover false family fetch fields file file_format files fill filter final
first first_value fixedstring fixedwidth flatten float float32 float4 float64 float8 floor flush fn following
for force force_not_null force_null force_quote foreign format formatted forward frame_row free freeze from fsck
fulfillment full fulltext function functions fusion future gb general generate generated geography get gin gist
global grant granted grants graphviz group grouping groups gzip hash hashes having header heap high_priority
history hivevar hold hosts hour hours hugeint iam_role iceberg identified identity identity_insert if ignore
ignoreheader ilike immediate immutable import imported in include include_null_values including increment
incremental index indicator inherit inherits initialize initially inner inout inpath inplace input inputformat
insensitive insert insert_method install instant instead int int128 int16 int2 int256 int32 int4 int64 int8
integer integration internallength interpolate intersect intersection interval into invisible invoker io is
isodow isolation isoweek isoyear items jar join json json_table jsonb jsonfile julian key key_block_size keys
kill lag lambda language large last last_value lateral lead leading leakproof least left leftarg level lifecycle
like like_regex limit line lines list listen listing ln load local localtime localtimestamp location lock locked
log login logs long longblob longtext low_priority lowcardinality lower ls lseg macro main manage managed
managedlocation manifest map masking match match_condition match_recognize matched matches materialize
materialized max max_data_extension_time_in_days max_rows maxfilesize maxvalue mb measures mediumblob mediumint
mediumtext member merge merges message metadata method metric metrics mfa microsecond microseconds millenium
millennium millisecond milliseconds min min_rows minus minute minutes minvalue mod mode modifies modify module
modulus monitor month months msck multirange_type_name multiset mutation name names nanosecond nanoseconds
national natural nchar nclob negator nest nested network new next nfc nfd nfkc nfkd no no_write_to_binlog
nobypassrls nocompress nocreatedb nocreaterole nocycle noinherit nologin none noorder noreplication normalize
normalized noscan nosuperuser not nothing notify notnull nowait nth_value ntile null nullable nullif nulls
number numeric nvarchar object objects occurrences_regex octet_length octets of off offset offsets old omit on
on_create on_schedule one only open openjson operate operator optimization optimize optimized optimizer_costs
option options or orc order ordinality organization other otp out outer output outputformat over overflow
overlaps overlay override overwrite owned owner ownership pack_keys package packages parallel parameter parquet
part partial partition partitioned partitions passedbyvalue passing passkey password past path pattern pctfree
per percent percent_rank percentile_cont percentile_disc period permissive persistent pivot placing plain plan
plans point policy polygon pool portion position position_regex power pragma precedes preceding precision
preferred prepare preserve preset prewhere primary print prior privileges procedure processlist profile program
projection public purchase purge qualify quarter queries query quote raise raiserror range rank raw rcfile read
read_only reads real receive recluster recursive ref references referencing refresh refresh_mode regclass regexp
region regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy reindex
relative relay release releases remainder remote remove removequotes rename reorg repair repeatable replace
replace_invalid_characters replica replicate replication require reset resolve resource respect restart restrict
restricted restrictions restrictive result resultset resume retain return returning returns revoke right
rightarg rlike rm role roles rollback rollup root row row_format row_number rowgroupsize rowid rows rule run
safe safe_cast sample savepoint schema schemas scope scroll search second secondary secondary_engine_attribute
seconds secret secure security seed select semantic_view semi send sensitive separator sequence sequencefile
sequences serde serdeproperties serializable server service session session_user set seterror setof sets
settings share shared sharing show signed similar simple size skip slow smallint snapshot some sort sorted
sortkey source spatial specific specifictype spgist sql sql_big_result sql_buffer_result sql_calc_found_rows
sql_no_cache sql_small_result sqlexception sqlstate sqlwarning sqrt srid stable stage start starts statement
static statistics stats_auto_recalc stats_persistent stats_sample_pages statupdate status stddev_pop stddev_samp
stdin stdout step storage storage_integration storage_serialization_policy stored straight_join stream strict
string struct submultiset subscript substr substring substring_regex subtype subtype_diff subtype_opclass
succeeds sum super superuser support suspend swap symmetric sync synonym system system_time system_user table
tables tablesample tablespace tag target target_lag task tblproperties temp temporary temptable terminated terse
text textfile then throw ties time timeformat timestamp timestamp_ntz timestamptz timetz timezone timezone_abbr
timezone_hour timezone_minute timezone_region tinyblob tinyint tinytext to top totals totp trace trailing tran
transaction transient translate translate_regex translation treat tree trigger trim trim_array true truncate
truncatecolumns try try_cast try_convert tsquery tsvector tuple type typmod_in typmod_out ubigint uescape
uhugeint uint128 uint16 uint256 uint32 uint64 uint8 unbounded uncache uncommitted undefined unfreeze union
unique unknown unlisten unload unlock unlogged unmatched unnest unpivot unsafe unset unsigned until update upper
url usage use user user_resources using usmallint utinyint uuid vacuum valid validate validation_mode value
value_of values var_pop var_samp varbinary varbit varchar varchar2 variable variables variadic varying verbose
version versioning versions view views virtual volatile volume waitfor warehouse warehouses week weeks when
whenever where while width_bucket window with within without without_array_wrapper work workload_identity
wrapper write xml xmlnamespaces xmltable xor year years yes zone zorder zstd
"""
KEYWORDS = frozenset(_KEYWORDS.split())
"""Words of any SQL dialect that Lance's parser knows: a column of such a name is written in backticks."""

_FUNCTIONS = """
abs acos acosh array_any_match array_any_value array_append array_cat array_concat array_contains array_dims
array_distance array_distinct array_element array_empty array_except array_extract array_filter array_has
array_has_all array_has_any array_indexof array_intersect array_join array_length array_max array_min
array_ndims array_normalize array_pop_back array_pop_front array_position array_positions array_prepend
array_push_back array_push_front array_remove array_remove_all array_remove_n array_repeat array_replace
array_replace_all array_replace_n array_resize array_reverse array_slice array_sort array_to_string
array_transform array_union arrays_overlap arrow_cast arrow_metadata arrow_try_cast arrow_typeof ascii asin
asinh atan atan2 atanh bit_length btrim cardinality cbrt ceil char_length character_length chr coalesce concat
concat_ws contains contains_tokens cos cosh cosine_distance cot current_date current_time current_timestamp
date_bin date_format date_part date_trunc datepart datetrunc decode degrees digest dot_product element_at empty
encode ends_with exp factorial find_in_set flatten floor from_unixtime gcd generate_series get_field greatest
ifnull initcap inner_product instr isnan iszero json_array_contains json_array_length json_exists json_extract
json_get json_get_bool json_get_float json_get_int json_get_string lcm least left length levenshtein
list_any_value list_append list_cat list_concat list_contains list_dims list_distance list_distinct list_element
list_empty list_except list_extract list_has list_has_all list_has_any list_indexof list_intersect list_join
list_length list_max list_ndims list_pop_back list_pop_front list_position list_positions list_prepend
list_push_back list_push_front list_remove list_remove_all list_remove_n list_repeat list_replace
list_replace_all list_replace_n list_resize list_reverse list_slice list_sort list_to_string list_union ln log
log10 log2 lower lpad ltrim make_array make_date make_list make_time map map_entries map_extract map_keys
map_values md5 named_struct nanvl now nullif nvl nvl2 octet_length overlay pi position pow power radians random
range regexp_count regexp_instr regexp_like regexp_match regexp_replace repeat replace reverse right round row
rpad rtrim sha224 sha256 sha384 sha512 signum sin sinh split_part sqrt st_contains st_coveredby st_covers
st_crosses st_distance st_intersects st_overlaps st_touches st_within starts_with string_to_array string_to_list
strpos struct substr substr_index substring substring_index tan tanh to_char to_date to_hex to_local_time
to_time to_timestamp to_timestamp_micros to_timestamp_millis to_timestamp_nanos to_timestamp_seconds to_unixtime
today translate trim trunc union_extract union_tag upper uuid version
"""
FUNCTIONS = frozenset(_FUNCTIONS.split())
"""Functions of pylance 14's SQL."""
