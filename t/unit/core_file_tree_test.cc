// SPDX-License-Identifier: Apache-2.0
//
// What lies in a directory cannot lead out of it, hold anybody up, or make a walk endless.
#include "core/file_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "check.h"

using goma::core::Code;
using goma::core::FileTree;
using goma::core::Held;
using goma::core::Scope;
using goma::core::read_file;

namespace {

// A directory "top/extra" with something beside it, removed at the end.
class Place {
 public:
  Place() {
    char path[] = "/tmp/goma-unit-XXXXXX";
    top = ::mkdtemp(path);
    make("extra");
    make("releases");
    make("beside");
    write("beside/secret.yml", "secret");
    write("extra/a.yml", "a");
  }
  ~Place() {
    const std::string command = "rm -rf '" + top + "'";
    if (std::system(command.c_str()) != 0) std::abort();
  }
  std::string at(const std::string& name) const { return top + "/" + name; }
  void make(const std::string& name) const { CHECK_EQ(::mkdir(at(name).c_str(), 0755), 0); }
  void link(const std::string& target, const std::string& name) const { CHECK_EQ(::symlink(target.c_str(), at(name).c_str()), 0); }
  void write(const std::string& name, const std::string& content) const {
    const int fd = ::open(at(name).c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(::write(fd, content.data(), content.size()), static_cast<ssize_t>(content.size()));
    ::close(fd);
  }
  goma::core::Result<FileTree> walk() const { return FileTree::walk(at("extra"), "extra", Scope::of(at("extra"))); }
  // What reading a file of the directory comes to.
  std::string read(const std::string& name) const {
    const auto content = read_file(at("extra/" + name), Scope::of(at("extra")));
    return content ? content.value() : goma::core::why_unreadable(content.error());
  }
  std::string top;
};

void links_stay_below_the_directory_or_its_releases() {
  const Place place;
  place.make("releases/42");
  place.write("releases/42/r.yml", "release");
  place.make("extra/..data_1");
  place.write("extra/..data_1/k.yml", "kubernetes");
  place.link("..data_1", "extra/..data");
  const struct {
    const char* name;
    const char* target;
    const char* outcome;
  } cases[] = {
      {"same.yml", "a.yml", "a"},
      {"k.yml", "..data/k.yml", "kubernetes"},
      {"release.yml", "../releases/42/r.yml", "release"},
      {"round.yml", "../extra/a.yml", "a"},
      {"out.yml", "../beside/secret.yml", "it is a symbolic link that leads out of the directory, to ../beside/secret.yml"},
      {"far.yml", "/etc/passwd", "it is a symbolic link that leads out of the directory, to /etc/passwd"},
      {"proc.yml", "/proc/self/environ", "it is a symbolic link that leads out of the directory, to /proc/self/environ"},
      {"nowhere.yml", "gone.yml", "it is a symbolic link that leads nowhere: gone.yml is not there"},
      {"circle.yml", "circle.yml", "it is a circle of symbolic links"},
      {"directory.yml", "..data", "it is a directory, not a file"},
  };
  for (const auto& c : cases) {
    place.link(c.target, std::string("extra/") + c.name);
    CHECK_EQ(place.read(c.name), c.outcome);
  }
  place.link("../beside", "extra/way");  // a link on the way is one as well
  CHECK_EQ(place.read("way/secret.yml"), "it lies outside of the directory");
}

void a_release_may_use_its_neighbour() {
  const Place place;
  place.make("releases/41");
  place.make("releases/42");
  place.write("releases/41/old.yml", "old");
  place.link("../41/old.yml", "releases/42/new.yml");
  place.link("releases/42", "current");
  const auto content = read_file(place.at("current/new.yml"), Scope::of(place.at("current")));
  CHECK_EQ(content.ok() ? content.value() : content.error().text, "old");
}

void a_link_of_one_user_opens_no_file_of_another() {
  if (::geteuid() != 0) return;  // nobody else to be
  const Place place;
  place.link("a.yml", "extra/stranger.yml");
  CHECK_EQ(::lchown(place.at("extra/stranger.yml").c_str(), 4711, 4711), 0);
  CHECK_EQ(place.read("stranger.yml"), "it is a symbolic link of one user to a file of another");
  CHECK_EQ(::chown(place.at("extra/a.yml").c_str(), 4711, 4711), 0);
  CHECK_EQ(place.read("stranger.yml"), "a");
  place.link("a.yml", "extra/root.yml");
  CHECK_EQ(place.read("root.yml"), "a");
  const auto anywhere = read_file(place.at("extra/stranger.yml"), {});
  CHECK(anywhere.ok());
}

void what_is_no_file_is_not_opened() {
  const Place place;
  CHECK_EQ(::mkfifo(place.at("extra/fifo.yml").c_str(), 0600), 0);
  CHECK_EQ(place.read("fifo.yml"), "it is a FIFO, not a file");
  if (::geteuid() == 0 && ::mknod(place.at("extra/device.yml").c_str(), S_IFCHR | 0600, ::makedev(1, 5)) == 0) {
    CHECK_EQ(place.read("device.yml"), "it is a device, not a file");
  }
  place.write("extra/large.yml", "");
  CHECK_EQ(::truncate(place.at("extra/large.yml").c_str(), off_t{goma::core::max_file_size} + 1), 0);
  CHECK_EQ(place.read("large.yml"), "it is larger than 16 MiB");
  const auto tree = place.walk();
  CHECK(tree.ok());
  CHECK(!tree.value().broken.empty());
  CHECK_EQ(tree.value().broken.back(), "extra/fifo.yml");
}

void a_walk_ends() {
  const Place place;
  for (const char* name : {"one", "two", "three"}) place.link(".", std::string("extra/") + name);
  const auto round = place.walk();
  CHECK(round.ok());
  CHECK_EQ(round.value().files.size(), 1U);
  CHECK_EQ(round.value().links.size(), 3U);
  std::string deep = "extra";
  for (int i = 0; i < 20; ++i) place.make(deep += "/d");
  CHECK(place.walk().error().code == Code::exhausted);
}

void a_walk_sees_what_matters() {
  const Place place;
  place.make("extra/sub");
  place.write("extra/sub/b.yml", "b");
  place.write("extra/.hidden.yml", "h");
  place.make("extra/.git");
  place.write("extra/.git/c.yml", "c");
  place.link("../beside", "extra/out");
  place.link("gone", "extra/gone");
  const auto tree = place.walk();
  CHECK(tree.ok());
  CHECK_EQ(tree.value().files.size(), 2U);
  CHECK_EQ(tree.value().files[0].path, "extra/a.yml");
  CHECK_EQ(tree.value().files[1].path, "extra/sub/b.yml");
  CHECK_EQ(tree.value().broken.size(), 2U);
  CHECK_EQ(tree.value().directories.size(), 2U);
  CHECK(FileTree::walk(place.at("missing"), "missing", {}).error().code == Code::not_found);
  CHECK(FileTree::walk(place.at("extra/a.yml"), "x", {}).error().code == Code::invalid);
}

}  // namespace

GOMA_TESTS(links_stay_below_the_directory_or_its_releases, a_release_may_use_its_neighbour, a_link_of_one_user_opens_no_file_of_another,
           what_is_no_file_is_not_opened, a_walk_ends, a_walk_sees_what_matters)
