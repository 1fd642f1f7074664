// SPDX-License-Identifier: Apache-2.0
//
// What is wrong with a configuration, and how it is told: every finding with its place, the source line, a caret
// under the whole token, the cause, and the fix when we can guess it; all findings of a run in file order.
//
// The one idea: whoever finds a problem only says where and what. Looking up lines, hiding what core/secret calls a
// secret (in lines and in sentences), sorting, cutting at 50 and the two output forms happen here and nowhere else.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/secret.h"

namespace goma::core {

// A token in a file. Lines and columns count from 1, columns in characters; end_column is one past the last
// character (0 = the token is one character long). line 0 means the whole file; an empty file means no place.
struct Place {
  std::string file;
  int line = 0;
  int column = 0;
  int end_column = 0;

  bool known() const { return !file.empty(); }
  // "goma.yml:5:16", "goma.yml" or "".
  std::string text() const;
};

enum class Severity : unsigned char { error, warning };

struct Problem {
  Severity severity = Severity::error;
  std::string code;                 // stable word in brackets: "unknown-key"
  Place place;
  std::string message;              // one line, in the reader's words
  std::string hint;                 // written after the caret: did you mean "target"?
  std::vector<std::string> notes;   // written below as "= ..." lines
  std::optional<Place> second;      // the other place, when two matter
  std::string second_label;         // written after its dashes: "first one here"
  std::string suggestion;           // the replacement alone, for editors; may be empty
};

class Problems {
 public:
  // Registers the text of a file so that findings can show its lines. The view must stay valid until the last
  // add() that names the file; the first registration of a name wins.
  void remember(const std::string& file, std::string_view text);
  // Hides these characters in every line shown (they are a secret): from the place's column to end_column (one past the
  // last) of end_line.
  void hide(const Place& place, int end_line, int end_column);
  // The text when the place holds no secret, else stars: for sentences that quote a file.
  std::string shown(const Place& place, std::string_view text);
  // Findings at exactly this place do not quote the text: it is a secret, or came from the environment.
  void conceal(const Place& place, std::string_view text);
  // Every finding at exactly this place says why: its hint becomes the reason.
  void explain(const Place& place, std::string reason);
  // Whether an error names this place.
  bool has_error_at(const Place& place) const;
  void add(Problem problem);
  // Shorthands for the common case.
  void error(std::string code, Place place, std::string message, std::string hint = {});
  void warning(std::string code, Place place, std::string message, std::string hint = {});

  bool has_errors() const { return errors_ > 0; }
  size_t errors() const { return errors_; }
  size_t warnings() const { return warnings_; }
  bool empty() const { return errors_ + warnings_ == 0; }
  // All findings in the order files were remembered, then by line and column.
  const std::vector<Problem>& list() const;
  // Every warning becomes an error (--strict).
  void make_strict();

  // The findings as text, at most 50, and how many more there are; no summary; empty when there are none.
  std::string render() const;
  // The findings as one JSON array of {file, line, column, end, severity, code, message, suggestion}.
  std::string render_json() const;
  // "goma: FILE: 2 errors, 1 warning" without a newline; "goma: FILE: ok" when there are none.
  std::string summary(const std::string& file) const;

  static constexpr size_t shown_at_most = 50;

  static constexpr size_t kept_at_most = 1000;  // more are only counted

 private:
  struct Range {  // columns
    int begin;
    int end;
  };
  struct Line {
    std::string text;
    std::vector<Range> secrets;  // that the line itself gives away
  };
  struct File {
    std::string_view text;
    size_t order = 0;
    std::vector<size_t> lines;            // offset of each line; filled when the first finding names the file
    std::unique_ptr<SecretLines> secrets;  // likewise
    std::map<int, Line> kept;             // copies of the lines that findings name
  };
  std::string_view line_of(File& file, int line) const;
  // Null when the file or the line is unknown.
  const Line* keep_line(const Place& place);
  void clean(Problem& problem, const std::string& at) const;
  void sort() const;
  void render_one(const Problem& problem, std::string& out) const;
  void render_line(const Place& place, char first, char rest, const std::string& label, std::string& out) const;
  std::vector<Range> hidden_in(const Place& place, const std::vector<Range>& more) const;
  std::u32string masked(const Place& place, std::u32string line, const std::vector<Range>& secrets, Range& token) const;

  std::map<std::string, File, std::less<>> files_;
  std::map<std::pair<std::string, int>, std::vector<Range>> hidden_;
  std::map<std::string, std::string> reasons_, concealed_;  // by the text of the place
  std::set<std::string> faulty_;                // places of errors
  std::set<std::string> seen_;                  // one finding per place and text
  mutable std::vector<Problem> list_;
  mutable bool sorted_ = true;
  size_t errors_ = 0;
  size_t warnings_ = 0;
};

}  // namespace goma::core
