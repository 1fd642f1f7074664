// SPDX-License-Identifier: Apache-2.0
//
// What goma writes about its configuration: the effective one (`goma -T`), the starter file (`goma config init`),
// and the tables for the documents.
#include "http/config.h"
#include "http/config_tables.h"

namespace goma::http {

std::string effective_yaml(const Config& config) {
  return core::print_section(file_section, &config, config.node, config.environment, 0);
}

core::DescribeInput describe_input() { return {&file_section, &middleware_section, {}}; }

std::string config_init_text() {
  return R"(# yaml-language-server: $schema=/usr/share/goma/goma.schema.json
# goma.yml: the configuration of the goma API gateway. Check it with `goma -t`, see every default with `goma -T`;
# goma.yml(5) explains every key. It works as it stands:
#
#   curl http://127.0.0.1:8080/welcome      the fixed answer below
#   curl http://127.0.0.1:8080/readyz       goma's own health
#
# To put goma in front of your service, change the target of the route "app".
version: 2

gateway:
  entryPoints:
    web:
      address: ":8080"
  log:
    level: info

  routes:
    - name: welcome
      path: /welcome
      target: http://127.0.0.1:9000   # never asked: the middleware answers
      middlewares: [hello]

    - name: app
      path: /
      target: http://127.0.0.1:9000

middlewares:
  - name: hello
    type: respond
    rule:
      statusCode: 200
      contentType: text/plain
      body: "goma works. Next: edit the route \"app\", then run: gomactl reload\n"
)";
}

}  // namespace goma::http
