//! Begins TLS: the certificates a target names, whom a server's certificate has to satisfy, the name it has to carry.
//! Blocking, on a connector thread.
//! Limits: revocation lists are not read; a name is looked for among the certificate's alternative names only.

use std::fmt;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring::default_provider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::connect::ServerAddress;
use super::target::tls::{Roots, TlsSettings};
use super::target::{SslMode, Target};

/// What PostgreSQL is sent to ask for TLS: length and a code in place of a version.
pub(super) const REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Everything needed to begin TLS with one server, now and again for a cancellation.
#[derive(Clone)]
pub(super) struct Recipe {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Recipe {
    /// Reads the files. An error is worded as libpq words it and only changed files or settings can help.
    pub fn new(target: &Target, address: &ServerAddress) -> Result<Self, String> {
        let (settings, mode) = (&target.tls, target.ssl_mode);
        let name = server_name(address, mode)?;
        let provider = Arc::new(default_provider());
        let versions: &[_] = match (settings.without_1_2, settings.without_1_3) {
            (false, false) => &[&TLS13, &TLS12],
            (true, false) => &[&TLS13],
            (false, true) => &[&TLS12],
            (true, true) => return Err("invalid SSL protocol version range".to_owned()),
        };
        let chain = match roots(settings, mode)? {
            None => None,
            Some(roots) => Some(
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                    .build()
                    .map_err(|error| format!("root certificates cannot be used: {error}"))?,
            ),
        };
        let verifier = Verifier { chain, name: mode == SslMode::VerifyFull, provider: provider.clone() };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match identity(settings)? {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| format!("client certificate and private key cannot be used: {error}"))?,
        };
        Ok(Self { config: Arc::new(config), name })
    }

    pub fn session(&self) -> io::Result<Box<ClientConnection>> {
        ClientConnection::new(self.config.clone(), self.name.clone()).map(Box::new).map_err(io::Error::other)
    }
}

fn server_name(address: &ServerAddress, mode: SslMode) -> Result<ServerName<'static>, String> {
    let ServerAddress::Tcp { host, address } = address else {
        return Err("unix sockets carry no TLS".to_owned());
    };
    match ServerName::try_from(host.clone()) {
        Ok(name) => Ok(name),
        Err(_) if mode != SslMode::VerifyFull => Ok(address.ip().into()),
        Err(_) if host.is_empty() => Err("host name must be specified for a verified SSL connection".to_owned()),
        Err(_) => Err(format!("host name \"{host}\" cannot be that of a certificate")),
    }
}

/// `None`: the certificate is not looked at.
fn roots(settings: &TlsSettings, mode: SslMode) -> Result<Option<RootCertStore>, String> {
    let verifies = matches!(mode, SslMode::VerifyCa | SslMode::VerifyFull);
    let mut store = RootCertStore::empty();
    match &settings.roots {
        Roots::System => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Roots::File(path) if path.exists() => {
            let failed =
                |why: &dyn fmt::Display| format!("could not read root certificate file \"{}\": {why}", path.display());
            let certificates = certificates(path).map_err(|error| failed(&error))?;
            for certificate in certificates {
                store.add(certificate).map_err(|error| failed(&error))?;
            }
        }
        Roots::File(path) if verifies => {
            return Err(format!("root certificate file \"{}\" does not exist\n{REMEDY}", path.display()));
        }
        Roots::Nowhere if verifies => {
            return Err(format!("could not get home directory to locate root certificate file\n{REMEDY}"));
        }
        Roots::File(_) | Roots::Nowhere => return Ok(None),
    }
    Ok(Some(store))
}

const REMEDY: &str = "Either provide the file, use the system's trusted roots with sslrootcert=system, or change \
    sslmode to disable server certificate verification.";

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
    let found = CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>()?;
    if found.is_empty() { Err(rustls::pki_types::pem::Error::NoItemsFound) } else { Ok(found) }
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity(settings: &TlsSettings) -> Result<Option<Identity>, String> {
    // As in libpq, a file that is not there is no certificate: the server says whether it wants one.
    let Some(path) = settings.certificate.as_ref().filter(|path| path.exists()) else {
        return Ok(None);
    };
    let chain = certificates(path)
        .map_err(|error| format!("could not read certificate file \"{}\": {error}", path.display()))?;
    let key = settings.key.as_deref().unwrap_or(Path::new(""));
    let shown = key.display();
    let metadata =
        std::fs::metadata(key).map_err(|_| format!("certificate present, but not private key file \"{shown}\""))?;
    let forbidden = if metadata.uid() == 0 { 0o027 } else { 0o077 };
    if metadata.permissions().mode() & forbidden != 0 {
        return Err(format!(
            "private key file \"{shown}\" has group or world access; file must have permissions u=rw (0600) or less if \
             owned by the current user, or permissions u=rw,g=r (0640) or less if owned by root"
        ));
    }
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| format!("could not load private key file \"{shown}\": {error}"))?;
    Ok(Some((chain, key)))
}

/// libpq's three degrees of trust.
#[derive(Debug)]
struct Verifier {
    /// Absent: any certificate will do.
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// The certificate must carry the host's name.
    name: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is checked last, so the chain is good.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.name => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
