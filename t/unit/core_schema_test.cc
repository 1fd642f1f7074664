// SPDX-License-Identifier: Apache-2.0
//
// core/schema and core/describe on a small table of every kind: what is stored, what is told, what is written.
#include "core/schema.h"

#include "check.h"
#include "core/describe.h"

using namespace goma::core;

namespace {

struct InnerConf {
  int n = 7;
  Place place;
};
constexpr Field inner_fields[] = {field<&InnerConf::n>("n", "A number.", range(0, 9))};
constexpr Section inner_section = section_of<InnerConf>("top.inner", "Inner things.", inner_fields);

struct ItemConf {
  std::string name;
  const yaml::Node* node = nullptr;
};
constexpr Field item_fields[] = {field<&ItemConf::name>("name", "Its name.", required)};
constexpr Section item_section = section_of<ItemConf>("top.items[]", "Items.", item_fields, "item");

constexpr std::string_view colours[] = {"red", "green"};

struct TopConf {
  std::string text = "x";
  PlacedText placed;
  bool flag = true;
  int64_t number = 5;
  double fraction = 0.5;
  Duration wait = Duration::from_seconds(3);
  int grace = 30;
  Size size{1024};
  std::string colour = "red";
  std::string pattern;
  std::string secret;
  std::optional<int> maybe;
  std::vector<std::string> list{"default"};
  TextMap map;
  InnerConf inner;
  std::vector<ItemConf> items;
  const yaml::Node* raw = nullptr;
};
constexpr Field top_fields[] = {
    field<&TopConf::text>("text", "A text."),
    field<&TopConf::placed>("placed", "A text with its place."),
    field<&TopConf::flag>("flag", "A switch.", formerly_inverted("noFlag"), env("T_FLAG")),
    field<&TopConf::number>("number", "A number.", env("T_NUMBER")),
    field<&TopConf::fraction>("fraction", "A fraction."),
    field<&TopConf::wait>("wait", "A duration.", or_never(0)),
    field<&TopConf::grace>("grace", "Seconds.", as(Kind::seconds), or_never(-1), range(0, 100)),
    field<&TopConf::size>("size", "A size."),
    field<&TopConf::colour>("colour", "A word.", one_of_ignoring_case(colours)),
    field<&TopConf::pattern>("pattern", "A pattern.", as(Kind::regex)),
    field<&TopConf::secret>("secret", "A secret.", as(Kind::secret)),
    field<&TopConf::maybe>("maybe", "Perhaps a number."),
    field<&TopConf::list>("list", "Some texts.", env_default("T_LIST")),
    field<&TopConf::map>("map", "Names and texts."),
    section<&TopConf::inner>("inner", "Inner things.", inner_section),
    section<&TopConf::items>("items", "Items.", item_section),
    field<&TopConf::raw>("raw", "Anything."),
    reserved("later", "Not yet."),
};
constexpr Section top_section = section_of<TopConf>("top", "Everything.", top_fields);

struct Reading {
  TopConf conf;
  Problems problems;
  std::unique_ptr<yaml::Document> document;
  bool good = false;
  std::string first() const { return problems.empty() ? "" : problems.list().front().message; }
  std::string code() const { return problems.empty() ? "" : problems.list().front().code; }
};

Reading reading(std::string_view text, std::string where = "top", bool ignore_case = false) {
  Reading r;
  r.document = yaml::parse("f.yml", text, r.problems);
  CHECK(r.document != nullptr);
  ReadContext context{r.problems, std::move(where), ignore_case};
  r.good = read(*r.document->root(), top_section, &r.conf, context);
  return r;
}

void every_kind_is_stored() {
  const Reading r = reading(
      "text: 12\nplaced: here\nflag: off\nnumber: 0x10\nfraction: 1.5\nwait: 1m\nsize: 2Ki\ncolour: GREEN\npattern: ^a\nsecret: s\nmaybe: 1_000\n"
      "list: [a, b]\nmap: {k: 1, l: true}\ninner: {n: 9}\nitems: [{name: one}, {name: two}]\nraw: [1, {a: b}]\n");
  CHECK(r.good);
  CHECK_EQ(r.conf.text, "12");
  CHECK_EQ(r.conf.placed.place.line, 2);
  CHECK_EQ(r.conf.flag, false);
  CHECK_EQ(r.conf.number, 16);
  CHECK_EQ(r.conf.fraction, 1.5);
  CHECK_EQ(r.conf.wait.ms(), 60'000);
  CHECK_EQ(r.conf.size.bytes, 2048);
  CHECK_EQ(r.conf.colour, "green");
  CHECK_EQ(r.conf.maybe.value_or(0), 1000);
  CHECK_EQ(r.conf.list.size(), 2);
  CHECK_EQ(r.conf.map[1].second, "true");
  CHECK_EQ(r.conf.inner.n, 9);
  CHECK_EQ(r.conf.inner.place.line, 14);
  CHECK_EQ(r.conf.items[1].name, "two");
  CHECK(r.conf.items[1].node != nullptr);
  CHECK_EQ(r.conf.raw->items.size(), 2);
}

void absent_and_null_keep_the_default() {
  const Reading r = reading("text:\nlist: ~\ninner:\nmap: null\n");
  CHECK(r.good);
  CHECK_EQ(r.conf.text, "x");
  CHECK_EQ(r.conf.list.size(), 1);
  CHECK_EQ(r.conf.inner.n, 7);
  CHECK(!r.conf.maybe);
}

void wrong_values_are_told_and_not_stored() {
  const Reading r = reading("number: many\ninner: {n: 10}\nlist: a\n");
  CHECK(!r.good);
  CHECK_EQ(r.problems.errors(), 3);
  CHECK_EQ(r.conf.number, 5);
  CHECK_EQ(r.first(), "top.number wants a whole number, got the text \"many\"");
  CHECK_EQ(r.problems.list()[1].message, "top.inner.n must be between 0 and 9, got 10");
}

void never_is_a_time_where_it_may_be() {
  const Reading zero = reading("wait: never\ngrace: 0\n");
  CHECK(zero.good);
  CHECK_EQ(zero.conf.wait.ms(), 0);
  CHECK_EQ(zero.conf.grace, 0);
  CHECK_EQ(reading("grace: never\n").conf.grace, -1);
  CHECK_EQ(reading("grace: -1\n").code(), "out-of-range");
  CHECK_EQ(reading("grace: forever\n").first(), "top.grace wants a whole number of seconds, or never, got the text \"forever\"");
  CHECK_EQ(reading("number: never\n").code(), "bad-type");
}

void integers_are_gos() {
  CHECK_EQ(reading("number: 017\n").conf.number, 15);
  CHECK_EQ(reading("number: 0b101\n").conf.number, 5);
  CHECK_EQ(reading("number: 0o17\n").conf.number, 15);
  CHECK_EQ(reading("number: 2.9\n").conf.number, 2);
  CHECK_EQ(reading("number: -3\n").conf.number, -3);
  for (const char* bad : {"number: 0080\n", "number: 9223372036854775808\n", "number: 1e30\n", "number: 1x\n", "number: ''\n"}) CHECK(!reading(bad).good);
  CHECK(!reading("maybe: 4294967296\n").good);  // does not fit an int
}

void a_bad_pattern_says_where_it_gave_up() {
  const Reading r = reading("pattern: ^/api/(v1\n", "middleware \"strip\"");
  CHECK_EQ(r.problems.render(),
           "f.yml:1:10: error: middleware \"strip\": the regular expression is not valid: missing closing parenthesis  [bad-regex]\n"
           "     1 | pattern: ^/api/(v1\n"
           "       |          ^~~~~~~~~\n"
           "       = the parser gave up at character 9 of the pattern, after \"^/api/(v1\"\n"
           "       = to match a literal parenthesis write \\(\n");
}

void secrets_stay_secret() {
  const Reading r = reading("{secret: hunter2, nmber: 1}\n");
  CHECK(!r.good);
  CHECK(r.problems.render().find("hunter2") == std::string::npos);
}

void near_keys_are_errors_and_far_ones_warnings() {
  CHECK_EQ(reading("numbr: 1\n").problems.errors(), 1);
  CHECK_EQ(reading("colours-of-the-wind: 1\n").problems.warnings(), 1);
  CHECK(reading("x-note: 1\n").problems.empty());
  CHECK_EQ(reading("n: 1\n").problems.list()[0].hint, "it belongs into \"top.inner\"");
}

void old_spellings_yield_to_new_ones() {
  CHECK_EQ(reading("noFlag: true\n").conf.flag, false);
  CHECK_EQ(reading("noFlag: true\nflag: true\n").conf.flag, true);
  CHECK_EQ(reading("flag: true\nnoFlag: true\n").conf.flag, true);
  CHECK_EQ(reading("noFlag: true\n").code(), "deprecated-key");
}

void keys_of_rules_have_any_case() {
  CHECK_EQ(reading("NUMBER: 3\nInner: {n: 1}\n", "middleware \"m\"", true).conf.number, 3);
  CHECK_EQ(reading("number: 3\nNumber: 4\n", "m", true).code(), "duplicate-key");
  CHECK(!reading("Number: 3\n").good);
}

void reserved_keys_are_refused_unless_off() {
  CHECK_EQ(reading("later: {a: 1}\n").code(), "not-implemented");
  for (const char* off : {"later:\n", "later: {}\n", "later: false\n", "later: {enabled: false, a: 1}\n"}) CHECK(reading(off).problems.empty());
}

void items_are_called_by_their_name() {
  CHECK_EQ(reading("items: [{name: one, nam: x}]\n").first(), "unknown key \"nam\" in item \"one\"");
  CHECK_EQ(reading("items: [{}]\n").first(), "top.items[0] needs the key \"name\"");
}

class Variables : public Source {
 public:
  std::map<std::string, std::string> all;
  Result<std::string_view> read(const std::string&) override { return Error{Code::not_found, "", 0}; }
  Result<Listing> list(const std::string&, Reach) override { return Error{Code::not_found, "", 0}; }
  std::optional<std::string_view> env(const std::string& name) override {
    const auto found = all.find(name);
    return found == all.end() ? std::nullopt : std::optional<std::string_view>(found->second);
  }
};

void variables_win_or_yield_as_declared() {
  Reading r = reading("flag: true\nnumber: 1\nlist: [file]\n");
  Variables variables;
  variables.all = {{"T_FLAG", "F"}, {"T_NUMBER", "9"}, {"T_LIST", "a, b"}};
  std::map<std::string, std::string> used;
  ReadContext context{r.problems, "top", false};
  apply_environment(top_section, &r.conf, r.document->root(), variables, context, used);
  CHECK_EQ(r.conf.flag, false);
  CHECK_EQ(r.conf.number, 9);
  CHECK_EQ(r.conf.list[0], "file");  // env_default: the file has the key
  CHECK_EQ(used.at("top.number"), "T_NUMBER");
  apply_environment(top_section, &r.conf, nullptr, variables, context, used);
  CHECK_EQ(r.conf.list.size(), 2);
  variables.all = {{"T_FLAG", "perhaps"}, {"T_NUMBER", "x"}};
  apply_environment(top_section, &r.conf, nullptr, variables, context, used);
  CHECK_EQ(r.problems.warnings(), 1);
  CHECK_EQ(r.problems.errors(), 1);
}

void the_effective_form_names_origins_and_hides_secrets() {
  const Reading r = reading("number: 1\nsecret: hunter2\nitems: [{name: 'yes'}]\nraw: {apiToken: hunter2, a: [1]}\n");
  const std::string text = print_section(top_section, &r.conf, r.document->root(), {{"text", "T_TEXT"}}, 0);
  CHECK(text.find("hunter2") == std::string::npos);
  CHECK(text.find("number: 1                                       # f.yml:1\n") != std::string::npos);
  CHECK(text.find("text: x                                         # T_TEXT\n") != std::string::npos);
  CHECK(text.find("wait: 3s                                        # default\n") != std::string::npos);
  CHECK(text.find("  - name: \"yes\"") != std::string::npos);
  // What was printed reads back to the same values.
  const Reading again = reading(text);
  CHECK(again.good);
  CHECK_EQ(again.conf.number, 1);
  CHECK_EQ(again.conf.items[0].name, "yes");
  CHECK_EQ(again.conf.pattern, "");
}

void documents_hold_every_key() {
  constexpr std::string_view types[] = {"inner", "innerOld"};
  const DescribeInput input{&top_section, &item_section, {RuleSection{types, "A rule.", inner_fields}}};
  for (const std::string& text : {describe_schema(input), describe_markdown(input), describe_mdoc(input)}) {
    for (const Field& f : top_fields) CHECK(text.find(f.name) != std::string::npos);
    CHECK(text.find("innerOld") != std::string::npos);
  }
  CHECK_EQ(describe_schema(input), describe_schema(input));
}

}  // namespace

GOMA_TESTS(every_kind_is_stored, absent_and_null_keep_the_default, wrong_values_are_told_and_not_stored, never_is_a_time_where_it_may_be, integers_are_gos, a_bad_pattern_says_where_it_gave_up,
           secrets_stay_secret, near_keys_are_errors_and_far_ones_warnings, old_spellings_yield_to_new_ones, keys_of_rules_have_any_case,
           reserved_keys_are_refused_unless_off, items_are_called_by_their_name, variables_win_or_yield_as_declared,
           the_effective_form_names_origins_and_hides_secrets, documents_hold_every_key)
