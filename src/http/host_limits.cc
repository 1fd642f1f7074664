// SPDX-License-Identifier: Apache-2.0
//
// A ban, told to whom it concerns.
#include "http/host_limits.h"

#include <string>

namespace goma::http {

// Told three times: the set that hosts read which come late, the channel for those that listen, and Goma's own key.
void HostLimits::ban(const core::Ban& ban, int64_t for_ns) {
  if (runtime_.bans == nullptr) return zone_->ban(ban.number(*zone_), now_ns_, now_ns_ + for_ns);
  runtime_.bans->impose(ban, now_ns_, now_ns_ + for_ns);
  const std::optional<std::string> identity = ban.identity();
  if (mirror() == nullptr || !identity) return;
  const int64_t until_ms = (time_ns() + for_ns) / 1'000'000;
  const std::string until = std::to_string(until_ms), seconds = std::to_string((for_ns + 999'999'999) / 1'000'000'000);
  const std::string message = core::BanNews{runtime_.presence->name(), false, until_ms, *identity}.message();
  const std::string_view keep[] = {"ZADD", core::ban_set, until, *identity};
  const std::string_view tell[] = {"PUBLISH", core::ban_channel, message};
  const std::string_view mark[] = {"SET", ban.mark, "banned", "EX", seconds};
  redis().post(core::ban_set, keep);
  redis().post({}, tell);
  redis().post(ban.mark, mark);
}

}  // namespace goma::http
