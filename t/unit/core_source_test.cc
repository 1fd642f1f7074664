// SPDX-License-Identifier: Apache-2.0
//
// A bundle answers what the disk answered, failures included, and nothing else.
#include "core/source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "check.h"

using namespace std::string_literals;
using goma::core::BundleSource;
using goma::core::Code;
using goma::core::DiskSource;
using goma::core::Source;

namespace {

// A directory with some files, removed at the end.
class Place {
 public:
  Place() {
    char path[] = "/tmp/goma-unit-XXXXXX";
    directory = ::mkdtemp(path);
  }
  ~Place() {
    const std::string command = "rm -rf '" + directory + "'";
    if (std::system(command.c_str()) != 0) std::abort();
  }
  void write(const std::string& name, const std::string& content) const {
    const int fd = ::open((directory + "/" + name).c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(::write(fd, content.data(), content.size()), static_cast<ssize_t>(content.size()));
    ::close(fd);
  }
  std::string directory;
};

std::string text(Source& source, const std::string& path) {
  const auto content = source.read(path);
  return content ? std::string(content.value()) : "error: " + content.error().text;
}

void check_answers(Source& source) {
  CHECK_EQ(text(source, "a.yml"), "one\0two"s);
  CHECK_EQ(text(source, "empty"), "");
  CHECK(source.read("missing").error().code == Code::not_found);
  CHECK(source.read("sub").error().code == Code::invalid);
  const auto names = source.list("sub");
  CHECK(names.ok());
  CHECK_EQ(names.value().files.size(), 2U);
  CHECK_EQ(names.value().files[0], "sub/b.yml");
  CHECK_EQ(names.value().files[1], "sub/deep/c.yml");
  CHECK(source.list("nothing").error().code == Code::not_found);
  CHECK_EQ(std::string(source.env("GOMA_UNIT_SET").value_or("-")), "value");
  CHECK(!source.env("GOMA_UNIT_UNSET").has_value());
}

void a_bundle_answers_as_the_disk_did() {
  const Place place;
  place.write("a.yml", "one\0two"s);
  place.write("empty", "");
  CHECK_EQ(::mkdir((place.directory + "/sub").c_str(), 0700), 0);
  CHECK_EQ(::mkdir((place.directory + "/sub/deep").c_str(), 0700), 0);
  place.write("sub/deep/c.yml", "c");
  place.write("sub/b.yml", "b");
  place.write("sub/.hidden.yml", "h");
  ::setenv("GOMA_UNIT_SET", "value", 1);
  ::unsetenv("GOMA_UNIT_UNSET");
  DiskSource disk(place.directory);
  check_answers(disk);
  const auto fd = disk.seal();
  CHECK(fd.ok());
  // Whatever happens to the disk now, the bundle does not see it.
  place.write("a.yml", "changed");
  ::setenv("GOMA_UNIT_SET", "changed", 1);
  auto bundle = BundleSource::open(fd.value());
  CHECK(bundle.ok());
  ::close(fd.value());
  check_answers(**bundle);
  CHECK(bundle.value()->read("never-asked").error().code == Code::not_found);
  check_answers(disk);  // a source answers the same question the same way
}

void a_bundle_cannot_be_changed() {
  DiskSource disk("/");
  const auto fd = disk.seal();
  CHECK(fd.ok());
  CHECK(::write(fd.value(), "x", 1) < 0);
  CHECK(::ftruncate(fd.value(), 0) < 0);
  ::close(fd.value());
}

void garbage_is_no_bundle() {
  const Place place;
  const Place other;
  place.write("garbage", "GOMABDL1 and then something that is no record at all, but long enough to look like one");
  place.write("short", "GOMA");
  for (const char* name : {"garbage", "short"}) {
    const int fd = ::open((place.directory + "/" + name).c_str(), O_RDONLY);
    CHECK(!BundleSource::open(fd).ok());
    ::close(fd);
  }
}

void large_and_odd_files_are_refused() {
  const Place place;
  place.write("large", "");
  CHECK_EQ(::truncate((place.directory + "/large").c_str(), off_t{65} << 20), 0);
  CHECK_EQ(::mkfifo((place.directory + "/fifo").c_str(), 0600), 0);
  DiskSource disk(place.directory);
  CHECK(disk.read("large").error().code == Code::invalid);
  CHECK(disk.read("fifo").error().code == Code::invalid);  // and does not hang
}

// What served is remembered by name; an empty directory in its place is not taken for it.
void what_serves_is_remembered() {
  const Place place;
  CHECK_EQ(::mkdir((place.directory + "/sub").c_str(), 0700), 0);
  place.write("sub/b.yml", "b");
  place.write("a.yml", "a");
  DiskSource first(place.directory);
  CHECK(first.read("a.yml").ok());
  CHECK(first.list("sub").ok());
  CHECK(first.read("sub/b.yml").ok());
  CHECK(!first.read("missing").ok());
  CHECK(!first.served("a.yml"));
  const auto fd = first.seal();
  CHECK(fd.ok());
  auto bundle = BundleSource::open(fd.value());
  CHECK(bundle.ok());
  ::close(fd.value());
  const auto list_anew = [&] {
    DiskSource next(place.directory);
    next.succeed(**bundle);
    CHECK(next.served("a.yml"));
    CHECK(next.served("sub"));
    CHECK(!next.served("missing"));
    CHECK(!next.served("su"));
    const auto listing = next.list("sub");
    return listing ? std::to_string(listing.value().files.size()) : listing.error().text.substr(0, 11);
  };
  CHECK_EQ(list_anew(), "1");
  CHECK_EQ(::unlink((place.directory + "/sub/b.yml").c_str()), 0);
  CHECK_EQ(list_anew(), "0");
  CHECK_EQ(::rename((place.directory + "/sub").c_str(), (place.directory + "/away").c_str()), 0);
  CHECK_EQ(::mkdir((place.directory + "/sub").c_str(), 0700), 0);
  CHECK_EQ(list_anew(), "it is empty");
}

}  // namespace

GOMA_TESTS(what_serves_is_remembered, a_bundle_answers_as_the_disk_did, a_bundle_cannot_be_changed, garbage_is_no_bundle, large_and_odd_files_are_refused)
