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
  return R"(# yaml-language-server: $schema=)" GOMA_DATADIR R"(/goma.schema.json
#
# The configuration of the goma API gateway. It serves as it stands:
#
#   curl -i http://127.0.0.1:8080/welcome     a fixed answer, from the middleware "hello"
#   curl -i http://127.0.0.1:8080/readyz      goma's own health
#   curl -i http://127.0.0.1:8080/            502, until "target" names your service
#
# goma -t checks this file, goma -T shows every default, goma.yml(5) explains every key, and gomactl reload
# brings a change into service.
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
      target: http://127.0.0.1:9000  # never asked, the middleware answers
      middlewares: [hello]

    - name: app
      path: /
      target: http://127.0.0.1:9000  # your service

middlewares:
  - name: hello
    type: respond
    rule:
      body: |
        goma works. Now let the route "app" point to your service and run: gomactl reload
)";
}

}  // namespace goma::http
