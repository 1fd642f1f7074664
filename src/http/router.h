// SPDX-License-Identifier: Apache-2.0
//
// From host, path and method to a route (goma-config 6). All routes become one trie of path segments at load, and all
// host patterns one table; a request walks the trie once, whatever the number of routes.
//
// The one idea: the trie is walked in the order of specificity (literal, {param}, end, everything below), so the first
// pattern that serves the host is the answer, and the lowest priority below each node says which branches can still
// beat it. Nothing is allocated.
//
// A route's path is a pattern for itself and for everything below it. Paths come in decoded and cleaned
// (http/uri.h); a segment also matches without its ";parameters", because backends drop them and a protected prefix
// must not be walked around. What it does not do: check a route's `methods` - that comes after the middlewares.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/problem.h"
#include "core/schema.h"

namespace goma::http {

struct Route;

class Router {
 public:
  struct Match {
    const Route* route = nullptr;  // null: nothing serves this request
    bool method_mismatch = false;  // no route, because a built-in endpoint there has other methods
    std::string_view allow;        // then: its methods, for the Allow header
    std::string_view redirect;     // no route, but the endpoint at this path would match without the trailing slash
    uint32_t probes = 0;           // table look-ups it took
  };

  // A configured route: serves its path and everything below it, whatever the method. Hosts as in goma-config 6.3,
  // none = any. The route outlives the router. Order of calls is the order of registration.
  // Requires: not compiled yet.
  void add(const Route* route, int priority, std::string_view path, std::span<const core::PlacedText> hosts);
  // An endpoint of the gateway itself, GET and HEAD only: other methods see the routes behind it. `below`: it also
  // serves everything beneath its path. `host`: a host pattern, empty = any. It goes before configured routes of the
  // same pattern, host and priority (0).
  void add_builtin(const Route* route, std::string_view path, bool below, std::string_view host);
  // Builds the tables. Routes whose path and a host are taken by an earlier one (by priority, then by registration)
  // are dropped whole, with a warning (goma-config 6.5). `strict_slash` fills in Match::redirect.
  void compile(core::Problems& problems, bool strict_slash = true);

  // The route for a request. `host` as sent (any case, port, trailing dot), `path` decoded and canonical; a path
  // that is "*" (OPTIONS *) matches only routes for "/". No allocation.
  Match find(std::string_view host, std::string_view path, std::string_view method) const;

  // Routes that a request can reach.
  size_t size() const { return served_; }

 private:
  static constexpr uint32_t none = UINT32_MAX;

  // What was registered, until compile().
  struct Registered {
    const Route* route;
    int priority;
    std::string path;
    std::vector<std::string> hosts;
    bool builtin;
    bool below;
  };
  struct Node {
    uint32_t parent;
    uint32_t param = none;       // the node below {name}
    uint32_t end = none;         // leaf of the pattern that ends here
    uint32_t rest = none;        // leaf of the pattern that takes everything below
    int64_t lowest = INT64_MAX;  // least priority of all leaves from here on
  };
  struct Leaf {
    int64_t priority = INT64_MAX;
    uint32_t any_host = none;  // first entry for any host
    bool has_hosts = false;
  };
  // One route at one pattern and host; entries of the same place are a chain.
  struct Entry {
    const Route* route;
    uint32_t builtin;  // index into builtins_, or none
    uint32_t next;
  };
  // (owner, text) -> value, open addressing.
  class Table {
   public:
    uint32_t find(uint32_t owner, std::string_view text) const;
    // Requires: the key is not there.
    void insert(uint32_t owner, std::string_view text, uint32_t value);

   private:
    struct Slot {
      uint64_t hash = 0;
      uint32_t owner = 0;
      uint32_t value = none;
      size_t offset = 0;
      size_t length = 0;
    };
    void place(const Slot& slot);
    void grow();
    std::vector<Slot> slots_;
    std::string texts_;
    size_t count_ = 0;
  };
  struct Hosts;  // host patterns that serve a request
  struct Walk;   // one find()

  void install(const Registered& entry, core::Problems& problems);
  std::vector<uint32_t> make_leaves(const Registered& entry);
  uint32_t make_child(uint32_t node, std::string_view segment);
  uint32_t make_leaf(uint32_t& leaf);
  uint32_t make_host(std::string_view pattern);
  uint32_t* make_chain(uint32_t leaf, uint32_t host);
  const Route* taken(const std::vector<uint32_t>& leaves, const std::vector<uint32_t>& hosts);
  void settle_priorities();

  uint32_t find_chain(Walk& walk, uint32_t leaf, uint32_t host) const;
  void resolve_hosts(std::string_view host, Hosts& into) const;
  void walk_node(Walk& walk, uint32_t index, size_t at) const;
  void try_leaf(Walk& walk, uint32_t index) const;
  bool try_chain(Walk& walk, uint32_t entry) const;

  std::vector<Registered> registered_;
  std::vector<Node> nodes_;
  std::vector<Leaf> leaves_;
  std::vector<Entry> entries_;
  std::vector<std::string> builtins_;  // their paths
  std::vector<uint32_t> chains_;  // first entry of (leaf, host); values of chain_table_
  Table edges_;                   // (node, segment) -> node
  Table hosts_;                   // (kind and port, name) -> host
  Table chain_table_;             // (leaf, host) -> index into chains_
  uint32_t host_count_ = 0;
  size_t served_ = 0;
  bool has_wildcards_ = false;    // host patterns that are not whole names
  bool has_ports_ = false;        // host patterns with a port
  bool strict_slash_ = true;
};

}  // namespace goma::http
