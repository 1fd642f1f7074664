// SPDX-License-Identifier: Apache-2.0
//
// Where Redis is and how to speak to it, as the configuration said it. Made once per site and immutable; equal
// settings keep their connections over a reload.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace goma::core {

class TlsContext;

struct RedisAddress {
  std::string host;  // a name, an address without brackets, or the path of a unix socket (starts with '/')
  uint16_t port = 6379;
  bool operator==(const RedisAddress&) const = default;
  bool is_unix() const { return !host.empty() && host.front() == '/'; }
  // "host:port", "[::1]:port" or the path: for logs and metrics.
  std::string text() const;
};

struct RedisSettings {
  enum class Mode : unsigned char { standalone, sentinel, cluster };

  Mode mode = Mode::standalone;
  std::vector<RedisAddress> addresses;  // at least one: the server, the sentinels, or any nodes of the cluster
  std::string master_name;              // sentinel only
  std::string username, password;       // empty: none
  std::string sentinel_username, sentinel_password;
  int database = 0;                     // not in a cluster

  std::shared_ptr<const TlsContext> tls;  // null: plain
  std::string server_name;                // the name a certificate must be for; empty: the host of the node
  bool sentinel_tls = false;              // the sentinels are spoken to over TLS too
  std::vector<std::string> tls_files;     // what of it lies in files, which others renew
  std::string digest;                     // of everything TLS was made from; equal for equal settings

  int64_t timeout_ms = 50;            // for a command, from send() to its answer
  int64_t connect_timeout_ms = 1000;  // for a connection, TLS and AUTH included
  size_t max_in_flight = 4096;        // commands that wait for an answer, per node
  size_t max_reply_bytes = size_t{16} << 20;

  std::string key_prefix;             // in front of every key and channel

  bool flush_on_startup = false;  // FLUSHDB when the gateway starts, never at a reload
  bool flush_cluster = false;     // of a cluster too: every primary

  std::string place;  // "goma.yml:3:5 (gateway.redis)": where a person looks when it does not work

  // Whether connections made for one serve the other: who is spoken to, as whom, and how; not for how long.
  bool same_as(const RedisSettings& other) const;
};

}  // namespace goma::core
