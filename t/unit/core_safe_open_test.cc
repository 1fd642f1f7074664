// SPDX-License-Identifier: Apache-2.0
//
// Where root follows a link and where it does not, what it opens, and that nothing is changed by a refusal.
#include "core/safe_open.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "core/process.h"
#include "check.h"

using goma::core::Descriptor;
using goma::core::Result;
using goma::core::Spot;
using goma::core::process::read_small_file;

namespace {

constexpr uid_t worker = 65534, stranger = 12345;
using Kind = Spot::Kind;

bool is_root() { return ::geteuid() == 0; }

// A directory of ours, with one inside that belongs to the workers' user where we are root.
class Tree {
 public:
  Tree() {
    char name[] = "/tmp/goma-unit-XXXXXX";
    top = ::mkdtemp(name);
    loose = top + "/loose";
    ::mkdir(loose.c_str(), 0755);
    if (is_root()) CHECK_EQ(::chown(loose.c_str(), worker, worker), 0);
  }
  ~Tree() {
    if (std::system(("rm -rf " + top).c_str()) != 0) std::abort();
  }
  std::string file(const std::string& name, const std::string& content = "x") const {
    const std::string path = top + "/" + name;
    const Descriptor fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600));
    CHECK_EQ(::write(fd.get(), content.data(), content.size()), static_cast<ssize_t>(content.size()));
    return path;
  }
  std::string top, loose;
};

// What opening says; "" when it opens.
std::string opened(const std::string& path, Kind kind = Kind::file, mode_t make = 0, Spot::Last last = Spot::Last::followed) {
  const Result<Spot> spot = Spot::find(path, worker, last);
  if (!spot.ok()) return spot.error().text;
  const Result<Descriptor> file = spot.value().open(O_WRONLY, kind, make);
  return file.ok() ? "" : file.error().text;
}
bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

void plain_files_are_opened_and_made() {
  const Tree tree;
  CHECK_EQ(opened(tree.file("a")), "");
  CHECK(says(opened(tree.top + "/none"), "No such file"));
  CHECK_EQ(opened(tree.top + "/none", Kind::file, 0640), "");
  CHECK_EQ(opened(tree.loose + "/none", Kind::file, 0640), "");
  CHECK_EQ(opened(tree.loose + "/../loose//./none", Kind::file), "");
  CHECK(says(opened(tree.loose), "is a directory"));
  CHECK(says(opened(tree.top + "/a/b"), "Not a directory"));
  CHECK(says(opened(""), "No such file"));
}

void links_of_ours_are_followed_where_asked() {
  const Tree tree;
  const std::string file = tree.file("a");
  CHECK_EQ(::symlink("a", (tree.top + "/link").c_str()), 0);
  CHECK_EQ(::symlink(tree.top.c_str(), (tree.top + "/here").c_str()), 0);
  CHECK_EQ(opened(tree.top + "/link"), "");
  CHECK_EQ(opened(tree.top + "/here/here/link"), "");
  CHECK(says(opened(tree.top + "/link", Kind::file, 0, Spot::Last::stays), "symbolic link"));
  CHECK_EQ(::symlink("round", (tree.top + "/round").c_str()), 0);
  CHECK(says(opened(tree.top + "/round"), "Too many levels"));
}

void links_of_others_are_not_followed_by_root() {
  if (!is_root()) return;
  const Tree tree;
  const std::string file = tree.file("a");
  CHECK_EQ(::symlink(file.c_str(), (tree.loose + "/link").c_str()), 0);
  CHECK_EQ(::symlink(tree.top.c_str(), (tree.loose + "/up").c_str()), 0);
  CHECK(says(opened(tree.loose + "/link"), "symbolic link in a directory where user 65534 may write"));
  CHECK(says(opened(tree.loose + "/up/a"), "symbolic link in a directory where user 65534 may write"));
  CHECK_EQ(::chown(tree.loose.c_str(), 0, 0), 0);
  CHECK_EQ(::chmod(tree.loose.c_str(), 01777), 0);
  CHECK(says(opened(tree.loose + "/link"), "where everybody may write"));
  CHECK_EQ(::chmod(tree.loose.c_str(), 0775), 0);
  CHECK_EQ(opened(tree.loose + "/link"), "");
  CHECK_EQ(::chown(tree.loose.c_str(), 0, 12345), 0);
  CHECK(says(opened(tree.loose + "/link"), "where group 12345 may write"));
}

void root_changes_nothing_with_two_names_or_of_strangers() {
  if (!is_root()) return;
  const Tree tree;
  const std::string file = tree.file("a");
  CHECK_EQ(::link(file.c_str(), (tree.loose + "/second").c_str()), 0);
  CHECK(says(opened(tree.loose + "/second"), "2 names"));
  const std::string other = tree.file("b");
  CHECK_EQ(::chown(other.c_str(), stranger, stranger), 0);
  CHECK(says(opened(other), "user 12345"));
  const Result<Spot> spot = Spot::find(other, worker);
  CHECK(!spot.value().give(worker, worker).ok());
  struct stat about {};
  CHECK_EQ(::stat(other.c_str(), &about), 0);
  CHECK_EQ(about.st_uid, stranger);
  CHECK_EQ(::chown(other.c_str(), worker, worker), 0);
  CHECK_EQ(opened(other), "");
}

void streams_are_opened_where_asked_and_nobody_waits() {
  const Tree tree;
  const std::string fifo = tree.top + "/fifo";
  CHECK_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  CHECK(says(opened(fifo), "is a FIFO"));
  CHECK(says(opened(fifo, Kind::file_or_stream), "No such device"));  // ENXIO: nobody reads
  const Descriptor reader(::open(fifo.c_str(), O_RDONLY | O_NONBLOCK));
  CHECK_EQ(opened(fifo, Kind::file_or_stream), "");
  CHECK_EQ(opened("/dev/null", Kind::file_or_stream), "");
  CHECK(says(opened("/dev/null"), "is a device"));
}

void a_file_is_replaced_in_one_step() {
  const Tree tree;
  const std::string victim = tree.file("victim", "kept"), path = tree.loose + "/state";
  CHECK_EQ(::symlink(victim.c_str(), (path + ".new").c_str()), 0);
  CHECK_EQ(::symlink(victim.c_str(), path.c_str()), 0);
  CHECK(goma::core::write_safely(path, "fresh", 0600).ok());
  CHECK_EQ(read_small_file(victim), "kept");
  CHECK_EQ(goma::core::read_own_file(path), "fresh");
  goma::core::remove_safely(path);
  CHECK(says(opened(path), "No such file"));
}

}  // namespace

GOMA_TESTS(plain_files_are_opened_and_made, links_of_ours_are_followed_where_asked, links_of_others_are_not_followed_by_root,
           root_changes_nothing_with_two_names_or_of_strangers, streams_are_opened_where_asked_and_nobody_waits, a_file_is_replaced_in_one_step)
