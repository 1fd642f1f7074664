// SPDX-License-Identifier: Apache-2.0
//
// One constexpr table per configuration section, and everything made from it: the reader with all its messages
// (here), and the JSON Schema, the reference page, the manual and `goma -T` (core/describe).
//
//   struct RouteConf { std::string name; int priority = 0; };
//   constexpr Field route_fields[] = {
//       field<&RouteConf::name>("name", "Used in logs and metrics.", required),
//       field<&RouteConf::priority>("priority", "Lower wins.", range(-1000, 1000)),
//   };
//   constexpr Section route_section = section_of<RouteConf>("route", "One route.", route_fields);
//
// The one idea: the member's type chooses how a value is stored, the field's Kind how it is judged, and both are a
// closed set, so a duration is parsed in exactly one place. The default is the struct's member initialiser.
//
// A struct with a member `core::Place place` or `const core::yaml::Node* node` has it filled in with where it came
// from. What the tables do not do: rules between two keys; those follow the reading.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/problem.h"
#include "core/source.h"
#include "core/units.h"
#include "core/yaml.h"

namespace goma::core {

enum class Kind : uint8_t {
  string,       // any scalar; its text
  boolean,      // true/false, yes/no, on/off
  integer,      // within the range
  number,       // with a fraction
  duration,     // "1h30m"
  seconds,      // a whole number of seconds
  size,         // "8Mi"
  rate,         // "100/s"
  address,      // "127.0.0.1:8080", ":80", "[::]:80", "unix:path"
  cidr,         // "10.0.0.0/8", a single address, or "unix:"
  host,         // "api.example.com", "*.example.com", "{sub}.example.com:8443"
  path,         // starts with '/' (file paths are strings)
  url,          // scheme://host...
  enumeration,  // one of the field's words
  regex,        // a regular expression that compiles
  secret,       // a string that is never shown
  raw,          // a subtree that somebody else reads (const yaml::Node*)
  section,      // a nested table
  reserved,     // Goma knows it, this version does not
};

enum class Shape : uint8_t { single, list, map };  // map: any key to a scalar, order kept

// A text and where it stood.
struct PlacedText {
  std::string text;
  Place place;
};
// A map of strings in file order.
using TextMap = std::vector<std::pair<std::string, std::string>>;

struct Field;

// A table with what is needed to use it without knowing the struct.
struct Section {
  std::string_view name;          // heading in the documents: "gateway.timeouts", "route"
  std::string_view doc;
  std::span<const Field> fields;
  std::string_view singular;      // list items are told as: route "api"
  void (*remember)(void* conf, const yaml::Node& node) = nullptr;  // fills place and node
  const yaml::Node* (*origin)(const void* conf) = nullptr;         // the node filled in, null when there is no such member
};

// One value on its way into a member.
struct Value {
  std::string_view text;
  int64_t number = 0;
  double fraction = 0;
  std::string_view key;             // maps only
  const yaml::Node* node = nullptr;
  std::string made;                 // the text, where it is not as it was written: judge() sees to it
};

// One key of a section. Made by field(), section() and reserved() only.
struct Field {
  std::string_view name;
  std::string_view doc;
  Kind kind = Kind::string;
  Shape shape = Shape::single;
  bool is_required = false;
  bool is_optional = false;            // std::optional: absent has no value
  bool is_addition = false;            // goma has it, Goma Gateway does not
  bool is_inverted = false;            // the old spelling means the opposite
  int64_t min = std::numeric_limits<int64_t>::min();
  int64_t max = std::numeric_limits<int64_t>::max();
  std::optional<int64_t> never;        // times: the word "never" is a value, and stored as this number
  std::span<const std::string_view> words{};  // enumeration
  bool words_ignore_case = false;
  std::string_view old_name;           // deprecated spelling, still accepted
  std::span<const std::string_view> aliases{};  // spellings of other programs, as good as the name
  std::string_view replaced_by;        // the whole key is deprecated: what to use instead
  std::string_view stands_for;         // lists of sections: an item that is only a text is the value of this key
  std::span<const std::string_view> switches{};  // reserved: the keys inside, at any depth, one of which turns it on
  std::string_view environment;        // a variable that gives the value
  bool environment_yields = false;     // only when the file does not have the key
  std::string_view weaker_environment; // a variable of another program: wins over the file, loses to `environment`
  std::string_view example;            // for messages and documents
  const Section* section = nullptr;
  const void* (*defaults)() = nullptr;                      // a default-made struct
  void* (*member)(void* conf) = nullptr;
  void (*clear)(void* member) = nullptr;                    // lists and maps: forget the default
  void (*put)(void* member, const Value& value) = nullptr;  // assigns, or appends to lists and maps
  void* (*open)(void* member) = nullptr;                    // sections: where to read into (lists: a new item)
  size_t (*count)(const void* member) = nullptr;            // values present: 0 or 1 for single
  Value (*get)(const void* member, size_t index) = nullptr;
  const void* (*item)(const void* member, size_t index) = nullptr;  // sections
};

// ---- how members store values ------------------------------------------------------------------------------------

namespace store {

template <class M>
struct MemberOf;
template <class S, class T>
struct MemberOf<T S::*> {
  using Struct = S;
  using Type = T;
};

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};
template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};

template <class T>
constexpr Kind kind_of() {
  if constexpr (std::is_same_v<T, bool>) return Kind::boolean;
  else if constexpr (std::is_integral_v<T>) return Kind::integer;
  else if constexpr (std::is_floating_point_v<T>) return Kind::number;
  else if constexpr (std::is_same_v<T, Duration>) return Kind::duration;
  else if constexpr (std::is_same_v<T, Size>) return Kind::size;
  else if constexpr (std::is_same_v<T, Rate>) return Kind::rate;
  else if constexpr (std::is_same_v<T, const yaml::Node*>) return Kind::raw;
  else return Kind::string;
}

template <class T>
void put_one(T& member, const Value& value) {
  if constexpr (std::is_same_v<T, bool>) member = value.number != 0;
  else if constexpr (std::is_integral_v<T>) member = static_cast<T>(value.number);
  else if constexpr (std::is_floating_point_v<T>) member = static_cast<T>(value.fraction);
  else if constexpr (std::is_same_v<T, Duration>) member = Duration{value.number};
  else if constexpr (std::is_same_v<T, Size>) member = Size{static_cast<uint64_t>(value.number)};
  else if constexpr (std::is_same_v<T, Rate>) member = parse_rate(value.text).value_or(Rate{});
  else if constexpr (std::is_same_v<T, const yaml::Node*>) member = value.node;
  else if constexpr (std::is_same_v<T, PlacedText>) member = T{std::string(value.text), value.node ? value.node->place() : Place{}};
  else member = T(value.text);
}

template <class T>
Value get_one(const T& member) {
  Value value;
  if constexpr (std::is_integral_v<T>) value.number = static_cast<int64_t>(member);
  else if constexpr (std::is_floating_point_v<T>) value.fraction = static_cast<double>(member);
  else if constexpr (std::is_same_v<T, Duration>) value.number = member.nanoseconds;
  else if constexpr (std::is_same_v<T, Size>) value.number = static_cast<int64_t>(member.bytes);
  else if constexpr (std::is_same_v<T, Rate>) value.number = static_cast<int64_t>(member.count);
  else if constexpr (std::is_same_v<T, const yaml::Node*>) value.node = member;
  else if constexpr (std::is_same_v<T, PlacedText>) value.text = member.text;
  else value.text = member;
  return value;
}

template <auto Member>
void* member_of(void* conf) {
  using Struct = typename MemberOf<decltype(Member)>::Struct;
  return &(static_cast<Struct*>(conf)->*Member);
}

// The struct as its member initialisers make it.
template <class S>
const void* default_of() {
  static const S made{};
  return &made;
}

template <class T>
constexpr void fill_kind(Field& field) {
  field.kind = kind_of<T>();
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    field.min = std::is_signed_v<T> ? static_cast<int64_t>(std::numeric_limits<T>::min()) : 0;
    if constexpr (sizeof(T) < sizeof(int64_t)) field.max = static_cast<int64_t>(std::numeric_limits<T>::max());
  }
}

template <class T>
constexpr void fill_single(Field& field) {
  fill_kind<T>(field);
  field.put = [](void* m, const Value& v) { put_one(*static_cast<T*>(m), v); };
  field.count = [](const void*) -> size_t { return 1; };
  field.get = [](const void* m, size_t) { return get_one(*static_cast<const T*>(m)); };
}

template <class T>
constexpr void fill_optional(Field& field) {
  using Opt = std::optional<T>;
  fill_kind<T>(field);
  field.is_optional = true;
  field.put = [](void* m, const Value& v) { put_one(static_cast<Opt*>(m)->emplace(), v); };
  field.count = [](const void* m) -> size_t { return static_cast<const Opt*>(m)->has_value() ? 1 : 0; };
  field.get = [](const void* m, size_t) { return get_one(**static_cast<const Opt*>(m)); };
}

template <class T>
constexpr void fill_list(Field& field) {
  using List = std::vector<T>;
  fill_kind<T>(field);
  field.shape = Shape::list;
  field.clear = [](void* m) { static_cast<List*>(m)->clear(); };
  field.put = [](void* m, const Value& v) { put_one(static_cast<List*>(m)->emplace_back(), v); };
  field.count = [](const void* m) { return static_cast<const List*>(m)->size(); };
  field.get = [](const void* m, size_t i) { return get_one((*static_cast<const List*>(m))[i]); };
}

constexpr void fill_map(Field& field) {
  field.shape = Shape::map;
  field.clear = [](void* m) { static_cast<TextMap*>(m)->clear(); };
  field.put = [](void* m, const Value& v) { static_cast<TextMap*>(m)->emplace_back(v.key, v.text); };
  field.count = [](const void* m) { return static_cast<const TextMap*>(m)->size(); };
  field.get = [](const void* m, size_t i) {
    const auto& entry = (*static_cast<const TextMap*>(m))[i];
    Value value;
    value.key = entry.first;
    value.text = entry.second;
    return value;
  };
}

}  // namespace store

// ---- options -----------------------------------------------------------------------------------------------------

// Each option is a small function object on a Field: field<&C::rate>("rate", "Requests.", required, range(1, 1000)).
struct Required {
  constexpr void operator()(Field& f) const { f.is_required = true; }
};
inline constexpr Required required{};
// A key of ours that Goma Gateway does not have.
struct Addition {
  constexpr void operator()(Field& f) const { f.is_addition = true; }
};
inline constexpr Addition addition{};
// Integers and seconds: inclusive limits.
constexpr auto range(int64_t min, int64_t max) {
  return [=](Field& f) { f.min = min, f.max = max; };
}
// Times that may have no end: the word "never" stands for that, and is stored as this number. Where 0 means it too, it is 0.
constexpr auto or_never(int64_t stored) {
  return [=](Field& f) { f.never = stored; };
}
// How the text is judged, when the member's type does not say it: as(Kind::url).
constexpr auto as(Kind kind) {
  return [=](Field& f) { f.kind = kind; };
}
// The closed list of words for a string. `words` must be a constexpr array of std::string_view.
constexpr auto one_of(std::span<const std::string_view> words) {
  return [=](Field& f) { f.kind = Kind::enumeration, f.words = words; };
}
// The same, ASCII case ignored; the member receives the spelling of the list.
constexpr auto one_of_ignoring_case(std::span<const std::string_view> words) {
  return [=](Field& f) { f.kind = Kind::enumeration, f.words = words, f.words_ignore_case = true; };
}
// An old spelling that still works, with a warning.
constexpr auto formerly(std::string_view name) {
  return [=](Field& f) { f.old_name = name; };
}
// Spellings of other programs, accepted without a word. `names` must be a constexpr array of std::string_view.
constexpr auto also(std::span<const std::string_view> names) {
  return [=](Field& f) { f.aliases = names; };
}
// An old boolean that means the opposite: disabled -> enabled.
constexpr auto formerly_inverted(std::string_view name) {
  return [=](Field& f) { f.old_name = name, f.is_inverted = true; };
}
// The key itself is old: works, warns, and says what to use.
constexpr auto deprecated(std::string_view instead) {
  return [=](Field& f) { f.replaced_by = instead; };
}
// An old spelling of a list's items: a text in place of the mapping {key: text}.
constexpr auto short_for(std::string_view key) {
  return [=](Field& f) { f.stands_for = key; };
}
// Without one of these keys (a constexpr array) a reserved section does nothing, in Goma either.
constexpr auto turned_on_by(std::span<const std::string_view> keys) {
  return [=](Field& f) { f.switches = keys; };
}
// An environment variable that wins over the file.
constexpr auto env(std::string_view name) {
  return [=](Field& f) { f.environment = name; };
}
// An environment variable that is used when the file does not have the key.
constexpr auto env_default(std::string_view name) {
  return [=](Field& f) { f.environment = name, f.environment_yields = true; };
}
// A variable of another program that wins over the file; one given with env() wins over both.
constexpr auto other_env(std::string_view name) {
  return [=](Field& f) { f.weaker_environment = name; };
}
constexpr auto example(std::string_view text) {
  return [=](Field& f) { f.example = text; };
}

// ---- makers ------------------------------------------------------------------------------------------------------

// A key whose value is a scalar, a list of scalars or a map of strings. Member types: std::string, bool, integers,
// double, Duration, Size, Rate, PlacedText, const yaml::Node*, std::optional of these, std::vector of these, TextMap.
template <auto Member, class... Options>
constexpr Field field(std::string_view name, std::string_view doc, Options... options) {
  using T = typename store::MemberOf<decltype(Member)>::Type;
  Field f;
  f.name = name;
  f.doc = doc;
  f.member = store::member_of<Member>;
  f.defaults = store::default_of<typename store::MemberOf<decltype(Member)>::Struct>;
  if constexpr (std::is_same_v<T, TextMap>) store::fill_map(f);
  else if constexpr (store::IsVector<T>::value) store::fill_list<typename T::value_type>(f);
  else if constexpr (store::IsOptional<T>::value) store::fill_optional<typename T::value_type>(f);
  else store::fill_single<T>(f);
  (options(f), ...);
  return f;
}

// A key that holds another table: a struct, or a std::vector of structs for a list of them.
template <auto Member, class... Options>
constexpr Field section(std::string_view name, std::string_view doc, const Section& table, Options... options) {
  using T = typename store::MemberOf<decltype(Member)>::Type;
  Field f;
  f.name = name;
  f.doc = doc;
  f.kind = Kind::section;
  f.section = &table;
  f.member = store::member_of<Member>;
  f.defaults = store::default_of<typename store::MemberOf<decltype(Member)>::Struct>;
  if constexpr (store::IsVector<T>::value) {
    f.shape = Shape::list;
    f.clear = [](void* m) { static_cast<T*>(m)->clear(); };
    f.open = [](void* m) -> void* { return &static_cast<T*>(m)->emplace_back(); };
    f.count = [](const void* m) { return static_cast<const T*>(m)->size(); };
    f.item = [](const void* m, size_t i) -> const void* { return &(*static_cast<const T*>(m))[i]; };
  } else {
    f.open = [](void* m) { return m; };
    f.count = [](const void*) -> size_t { return 1; };
    f.item = [](const void* m, size_t) { return m; };
  }
  (options(f), ...);
  return f;
}

// A key that Goma knows and this version refuses: error [not-implemented].
template <class... Options>
constexpr Field reserved(std::string_view name, std::string_view doc, Options... options) {
  Field f;
  f.name = name;
  f.doc = doc;
  f.kind = Kind::reserved;
  (options(f), ...);
  return f;
}

// A table for the struct S.
template <class S, size_t N>
constexpr Section section_of(std::string_view name, std::string_view doc, const Field (&fields)[N], std::string_view singular = {}) {
  Section s;
  s.name = name;
  s.doc = doc;
  s.fields = std::span<const Field>(fields, N);
  s.singular = singular;
  s.remember = []([[maybe_unused]] void* conf, [[maybe_unused]] const yaml::Node& node) {
    if constexpr (requires(S& x) { x.place = Place{}; }) static_cast<S*>(conf)->place = node.place();
    if constexpr (requires(S& x) { x.node = static_cast<const yaml::Node*>(nullptr); }) static_cast<S*>(conf)->node = &node;
  };
  s.origin = []([[maybe_unused]] const void* conf) -> const yaml::Node* {
    if constexpr (requires(S& x) { x.node = static_cast<const yaml::Node*>(nullptr); }) return static_cast<const S*>(conf)->node;
    return nullptr;
  };
  return s;
}

// ---- reading -----------------------------------------------------------------------------------------------------

// What to write in place of a key that must not be ignored; empty when it may be. `where` is the section's name.
using Refusals = std::string (*)(std::string_view key, std::string_view where);

struct ReadContext {
  Problems& problems;
  std::string where;          // how messages name the section: "gateway.timeouts", route "api", middleware "strip"
  bool ignore_case = false;   // keys of middleware rules match whatever their case
  Refusals refusals = nullptr;  // asked for keys that no table here has
};

// Reads a mapping into a struct by its table. Every problem is reported; false when one of them was an error (the
// struct then holds what could be read). A null node is an empty mapping. Nodes must outlive the struct when it has
// members that point to them.
bool read(const yaml::Node& node, std::span<const Field> fields, void* into, ReadContext& context);
bool read(const yaml::Node& node, const Section& section, void* into, ReadContext& context);

// Gives the fields that have an environment variable its value; nested sections included. `node` is the mapping the
// struct was read from, or null. A boolean that is none of Go's words is ignored with a warning, any other value that
// does not fit is an error. Adds the variables used to `used`: "gateway.log.level" -> "GOMA_LOG_LEVEL".
void apply_environment(const Section& section, void* into, const yaml::Node* node, Source& source, ReadContext& context,
                       std::map<std::string, std::string>& used);

// Whether a value asks for nothing: empty, false, 0, a section that is not enabled, or one of which all this is true.
bool says_nothing(const yaml::Node& value);

// The pair of the mapping that gives the field its value: by its name or an alias. Null when there is none, or no mapping.
const yaml::Pair* find_pair(const yaml::Node* mapping, const Field& field);

// "gateway.timeouts" + "read" -> "gateway.timeouts.read"; route "api" + "target" -> route "api": target.
std::string join_where(std::string_view where, std::string_view key);

}  // namespace goma::core
