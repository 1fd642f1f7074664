// SPDX-License-Identifier: Apache-2.0
//
// The keys of gateway.tls and routes[].tls (goma-config 3.3).
#include "http/config.h"
#include "http/config_tables.h"

namespace goma::http {

using core::addition;
using core::deprecated;
using core::example;
using core::Field;
using core::field;
using core::Kind;
using core::one_of;
using core::Section;
using core::section;
using core::section_of;

namespace {

constexpr Field key_pair_fields[] = {
    field<&KeyPairConf::cert>("cert", "The certificate, followed by its issuers: a file, PEM, or base64 of PEM.", example("/etc/goma/tls/site.crt")),
    field<&KeyPairConf::key>("key", "Its private key: a file, PEM, or base64 of PEM.", core::as(Kind::secret), example("/etc/goma/tls/site.key")),
    field<&KeyPairConf::ocsp>("ocsp", "A file with the authority's OCSP response (DER), shown to clients that ask; a newer one is noticed.", addition, example("/etc/goma/tls/site.ocsp")),
};
constexpr Section certificates_section = section_of<KeyPairConf>("gateway.tls.certificates[]", "A certificate with its key.", key_pair_fields);
constexpr Section old_keys_section = section_of<KeyPairConf>("gateway.tls.keys[]", "A certificate with its key.", key_pair_fields);
constexpr Section default_section = section_of<KeyPairConf>("gateway.tls.default", "The certificate for clients whose server name no other certificate has, or that send none.", key_pair_fields);
constexpr Section route_certificate_section = section_of<KeyPairConf>("gateway.routes[].tls.certificate", "A certificate with its key; it wins over those of gateway.tls.", key_pair_fields);

constexpr Field client_auth_fields[] = {
    field<&ClientAuthConf::client_ca>("clientCA", "The authorities that client certificates must come from: a file, PEM, or base64 of PEM. Without it clients are not asked.", example("/etc/goma/tls/clients.pem")),
    field<&ClientAuthConf::required>("required", "Refuse clients without a certificate; else they may come without, but not with a bad one."),
};
constexpr Section client_auth_section = section_of<ClientAuthConf>("gateway.tls.clientAuth", "Certificates of clients.", client_auth_fields);
constexpr Section route_client_auth_section = section_of<ClientAuthConf>("gateway.routes[].tls.clientAuth", "Certificates of the clients of the route's hosts, in place of gateway.tls.clientAuth.", client_auth_fields);

constexpr std::string_view version_words[] = {"1.2", "1.3"};

constexpr Field tls_fields[] = {
    field<&TlsConf::certs_dir>("certsDir", "A directory with pairs NAME.crt and NAME.key (also .cert and .pem)."),
    section<&TlsConf::certificates>("certificates", "Certificates with their keys; a server name gets the one that names it best.", certificates_section),
    section<&TlsConf::keys>("keys", "The same as certificates, and in place of it.", old_keys_section, deprecated("certificates")),
    section<&TlsConf::default_pair>("default", "The certificate when no other fits; a self-signed one is made when it is absent.", default_section),
    section<&TlsConf::client_auth>("clientAuth", "Certificates of clients.", client_auth_section),
    field<&TlsConf::min_version>("minVersion", "The oldest version of TLS that is spoken.", one_of(version_words), addition),
    field<&TlsConf::ciphers>("ciphers", "Ciphers of TLS 1.2, separated by colons, as OpenSSL writes them; empty means Mozilla's intermediate profile.", addition, example("ECDHE-ECDSA-AES128-GCM-SHA256")),
    field<&TlsConf::curves>("curves", "Groups of the key exchange, separated by colons, best first; empty means X25519, P-256 and P-384.", addition, example("\"X25519:P-256\"")),
    field<&TlsConf::ocsp_stapling>("ocspStapling", "Fetch the OCSP responses of certificates from the responders they name, and show them to clients that ask.", addition),
};

constexpr Field route_tls_fields[] = {
    section<&RouteTlsConf::certificate>("certificate", "A certificate with its key; it wins over those of gateway.tls.", route_certificate_section),
    field<&RouteTlsConf::provider>("provider", "Who obtains the certificate of the route's hosts: none, or a name of certManager.", example("none")),
    section<&RouteTlsConf::client_auth>("clientAuth", "Certificates of the clients of the route's hosts, in place of gateway.tls.clientAuth.", route_client_auth_section, addition),
};

}  // namespace

constexpr Section gateway_tls_section = section_of<TlsConf>("gateway.tls", "Certificates of the HTTPS listener, and what is spoken there.", tls_fields);
constexpr Section route_tls_section = section_of<RouteTlsConf>("gateway.routes[].tls", "The certificate of the route's hosts.", route_tls_fields);

}  // namespace goma::http
