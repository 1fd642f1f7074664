// SPDX-License-Identifier: Apache-2.0
//
// The keys of gateway.redis: Goma's and ours (goma-config 3.4), and what the gateway, the pump and the dashboard of Tyk
// call the same things. A Tyk key that means exactly what one of ours means is an alias; the others are fields of their
// own, folded by http/config_redis_fold.
#include "http/config.h"
#include "http/config_tables.h"

namespace goma::http {

using core::addition;
using core::also;
using core::as;
using core::env;
using core::example;
using core::Field;
using core::field;
using core::Kind;
using core::one_of;
using core::other_env;
using core::range;
using core::Section;
using core::section;
using core::section_of;

namespace {

constexpr std::string_view version_words[] = {"1.0", "1.1", "1.2", "1.3"};
constexpr std::string_view mode_words[] = {"standalone", "sentinel", "cluster"};

constexpr std::string_view ca_names[] = {"ca", "clientCA", "ca_file"};
constexpr std::string_view inner_cert_names[] = {"cert_file"}, inner_key_names[] = {"key_file"}, inner_insecure_names[] = {"insecure_skip_verify", "ssl_insecure_skip_verify"};
constexpr std::string_view inner_server_names[] = {"server_name"}, inner_min_names[] = {"min_version", "tls_min_version"}, inner_max_names[] = {"max_version", "tls_max_version"};

constexpr Field redis_tls_fields[] = {
    field<&RedisTlsConf::enabled>("enabled", "Speak TLS with Redis; absent means when any other key of this section says something.", addition),
    field<&RedisTlsConf::ca>("clientCa", "The authorities that the servers' certificates must come from: a file, PEM, or base64 of PEM; empty means the machine's.", also(ca_names), example("/etc/goma/tls/redis-ca.pem")),
    field<&RedisTlsConf::client_cert>("clientCert", "The certificate shown to servers that ask for one: a file, PEM, or base64 of PEM.", also(inner_cert_names), example("/etc/goma/tls/redis.crt")),
    field<&RedisTlsConf::client_key>("clientKey", "Its private key: a file, PEM, or base64 of PEM.", as(Kind::secret), also(inner_key_names), example("/etc/goma/tls/redis.key")),
    field<&RedisTlsConf::server_name>("serverName", "The name that is asked for (SNI) and that certificates must be for; empty means the host of each server.", as(Kind::host), also(inner_server_names), addition, example("redis.internal")),
    field<&RedisTlsConf::insecure_skip_verify>("insecureSkipVerify", "Accept any certificate. For tests only.", also(inner_insecure_names), addition),
    field<&RedisTlsConf::min_version>("minVersion", "The oldest version of TLS that is spoken; never below 1.2.", one_of(version_words), also(inner_min_names), addition),
    field<&RedisTlsConf::max_version>("maxVersion", "The newest version of TLS that is spoken.", one_of(version_words), also(inner_max_names), addition),
};

constexpr std::string_view addrs_names[] = {"redis_addrs"};
constexpr std::string_view master_name_names[] = {"master_name", "redis_master_name"};
constexpr std::string_view username_names[] = {"redis_username"};
constexpr std::string_view password_names[] = {"redis_password"};
constexpr std::string_view sentinel_password_names[] = {"sentinel_password", "redis_sentinel_password"};
constexpr std::string_view db_names[] = {"database", "redis_database"};
constexpr std::string_view timeout_names[] = {"redis_timeout"};
constexpr std::string_view host_names[] = {"redis_host"};
constexpr std::string_view port_names[] = {"redis_port"};
constexpr std::string_view hosts_names[] = {"redis_hosts"};
constexpr std::string_view cluster_names[] = {"enableCluster", "redis_enable_cluster"};
constexpr std::string_view use_ssl_names[] = {"redis_use_ssl"};
constexpr std::string_view insecure_names[] = {"redis_ssl_insecure_skip_verify"};
constexpr std::string_view ca_file_names[] = {"ssl_ca_file", "redis_ca_file"};
constexpr std::string_view cert_file_names[] = {"ssl_cert_file", "redis_cert_file"};
constexpr std::string_view key_file_names[] = {"ssl_key_file", "redis_key_file"};
constexpr std::string_view min_version_names[] = {"min_version", "minVersion", "tlsMinVersion", "ssl_min_version", "redis_min_version", "redis_tls_min_version", "redis_ssl_min_version"};
constexpr std::string_view max_version_names[] = {"max_version", "maxVersion", "tlsMaxVersion", "ssl_max_version", "redis_max_version", "redis_tls_max_version", "redis_ssl_max_version"};
constexpr std::string_view max_idle_names[] = {"redis_max_idle"};
constexpr std::string_view max_active_names[] = {"redis_max_active"};
constexpr std::string_view key_prefix_names[] = {"key_prefix", "redis_key_prefix"};

constexpr Field redis_fields[] = {
    field<&RedisConf::mode>("mode", "What the addresses are: one server, Sentinels, or nodes of a Cluster. Absent: sentinel with a masterName, cluster with enable_cluster, else standalone.", one_of(mode_words), addition),
    field<&RedisConf::addr>("addr", "The server: host:port, [IPv6]:port, unix:/path, or redis://user:password@host:port/db (rediss:// for TLS). Empty means no Redis.", env("GOMA_REDIS_ADDR"), example("redis.internal:6379")),
    field<&RedisConf::addrs>("addrs", "Several addresses: all Sentinels, or some nodes of a Cluster.", also(addrs_names), other_env("TYK_GW_STORAGE_ADDRS"), addition, example("[\"10.0.0.1:26379\", \"10.0.0.2:26379\"]")),
    field<&RedisConf::master_name>("masterName", "The name that Sentinels know the primary by.", also(master_name_names), other_env("TYK_GW_STORAGE_MASTERNAME"), addition, example("mymaster")),
    field<&RedisConf::username>("username", "The user of the servers (ACL); empty means the default user.", also(username_names), other_env("TYK_GW_STORAGE_USERNAME"), addition),
    field<&RedisConf::password>("password", "The password of the servers.", as(Kind::secret), also(password_names), other_env("TYK_GW_STORAGE_PASSWORD"), env("GOMA_REDIS_PASSWORD")),
    field<&RedisConf::sentinel_username>("sentinelUsername", "The user of the Sentinels themselves.", addition),
    field<&RedisConf::sentinel_password>("sentinelPassword", "The password of the Sentinels themselves.", as(Kind::secret), also(sentinel_password_names), other_env("TYK_GW_STORAGE_SENTINELPASSWORD"), addition),
    field<&RedisConf::db>("db", "The number of the database; a Cluster has only 0.", range(0, 65535), also(db_names), other_env("TYK_GW_STORAGE_DATABASE"), env("GOMA_REDIS_DB")),
    field<&RedisConf::timeout>("timeout", "How long a command may take, as a duration. A number without a unit is Tyk's, in seconds, and sets connectTimeout.", also(timeout_names), other_env("TYK_GW_STORAGE_TIMEOUT"), addition, example("50ms")),
    field<&RedisConf::connect_timeout>("connectTimeout", "How long a connection may take to be made, TLS and login included.", addition),
    field<&RedisConf::max_in_flight>("maxInFlight", "Commands that may wait for an answer, for each server and process.", range(1, 1'000'000), addition),
    field<&RedisConf::name>("name", "The name of this installation: hosts that have the same one share limits and cache, others on the same Redis do not. Empty is a name as well.", addition, example("shop")),
    field<&RedisConf::key_prefix>("keyPrefix", "What all keys and channels in Redis begin with; absent means the name and a colon, where there is a name.", also(key_prefix_names), addition, example("\"shop:\"")),
    field<&RedisConf::flush_on_startup>("flushOnStartup", "Delete everything in the database when the gateway starts."),
    field<&RedisConf::flush_cluster>("flushCluster", "Say yes to flushOnStartup on a Cluster.", addition),
    section<&RedisConf::tls>("tls", "TLS towards Redis.", redis_tls_section),
    field<&RedisConf::type>("type", "Tyk: the kind of store; only redis.", other_env("TYK_GW_STORAGE_TYPE"), addition),
    field<&RedisConf::host>("host", "Tyk: the host of the only server.", also(host_names), other_env("TYK_GW_STORAGE_HOST"), addition),
    field<&RedisConf::port>("port", "Tyk: the port of the only server; 6379 when absent.", range(0, 65535), also(port_names), other_env("TYK_GW_STORAGE_PORT"), addition),
    field<&RedisConf::hosts>("hosts", "Tyk: addresses as a mapping of hosts to ports, or a list. Variable: TYK_GW_STORAGE_HOSTS.", also(hosts_names), addition),
    field<&RedisConf::enable_cluster>("enable_cluster", "Tyk: the addresses are nodes of a Cluster; the same as mode: cluster.", also(cluster_names), other_env("TYK_GW_STORAGE_ENABLECLUSTER"), addition),
    field<&RedisConf::use_ssl>("use_ssl", "Tyk: the same as tls.enabled.", also(use_ssl_names), other_env("TYK_GW_STORAGE_USESSL"), addition),
    field<&RedisConf::ssl_insecure_skip_verify>("ssl_insecure_skip_verify", "Tyk: the same as tls.insecureSkipVerify.", also(insecure_names), other_env("TYK_GW_STORAGE_SSLINSECURESKIPVERIFY"), addition),
    field<&RedisConf::ca_file>("ca_file", "Tyk: the same as tls.clientCa.", also(ca_file_names), other_env("TYK_GW_STORAGE_CAFILE"), addition),
    field<&RedisConf::cert_file>("cert_file", "Tyk: the same as tls.clientCert.", also(cert_file_names), other_env("TYK_GW_STORAGE_CERTFILE"), addition),
    field<&RedisConf::key_file>("key_file", "Tyk: the same as tls.clientKey.", as(Kind::secret), also(key_file_names), other_env("TYK_GW_STORAGE_KEYFILE"), addition),
    field<&RedisConf::tls_min_version>("tls_min_version", "Tyk: the same as tls.minVersion.", also(min_version_names), other_env("TYK_GW_STORAGE_TLSMINVERSION"), addition),
    field<&RedisConf::tls_max_version>("tls_max_version", "Tyk: the same as tls.maxVersion.", also(max_version_names), other_env("TYK_GW_STORAGE_TLSMAXVERSION"), addition),
    field<&RedisConf::max_idle>("optimisation_max_idle", "Tyk: without effect.", also(max_idle_names), other_env("TYK_GW_STORAGE_MAXIDLE"), addition),
    field<&RedisConf::max_active>("optimisation_max_active", "Tyk: without effect.", also(max_active_names), other_env("TYK_GW_STORAGE_MAXACTIVE"), addition),
    field<&RedisConf::compress_api_definitions>("compress_api_definitions", "Tyk: without effect.", other_env("TYK_GW_STORAGE_COMPRESSAPIDEFINITIONS"), addition),
    field<&RedisConf::compress_policies>("compress_policies", "Tyk: without effect.", other_env("TYK_GW_STORAGE_COMPRESSPOLICIES"), addition),
    field<&RedisConf::max_decompressed_size>("max_decompressed_size", "Tyk: without effect.", other_env("TYK_GW_STORAGE_MAXDECOMPRESSEDSIZE"), addition),
    field<&RedisConf::iam_auth>("iam_auth", "Tyk: login with tokens of a cloud; refused when it is enabled.", addition),
};

}  // namespace

constexpr Section redis_tls_section = section_of<RedisTlsConf>("gateway.redis.tls", "TLS towards Redis.", redis_tls_fields);
constexpr Section redis_section = section_of<RedisConf>("gateway.redis", "State shared between hosts: where Redis is and how it is spoken to. Tyk's spellings are accepted.", redis_fields);

}  // namespace goma::http
