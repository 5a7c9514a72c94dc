//! The container itself, with its volumes: what Pod Security's `restricted` level asks for, and no more
//! rights than a proxy needs.
//!
//! The kubelet starts a native sidecar before all that stands behind it, and stops it after all of
//! that, so that neither a `preStop` nor a longer grace period is needed; a Job ends without it.

use k8s_openapi::{
    api::core::v1::{
        Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EnvVar, HTTPGetAction, KeyToPath,
        Probe, ProjectedVolumeSource, SeccompProfile, SecurityContext, ServiceAccountTokenProjection, Volume,
        VolumeMount, VolumeProjection,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use llm_config::stream::AUDIENCE;

use super::{annotations::Wishes, quantity::quantity, settings::Settings};
use crate::certificates::{BUNDLE, CONFIG_MAP};

/// The name of the container.
pub const NAME: &str = "llm-proxy";
/// Init containers of service meshes. The sidecar stands behind them: its way to the operator leads
/// through them, and before them both would wait for each other. They call no models.
pub const MESHES: [&str; 6] = [
    "istio-init",
    "istio-validation",
    "istio-proxy",
    "linkerd-init",
    "linkerd-network-validator",
    "linkerd-proxy",
];

const TOKEN: &str = "llm-gateway-token";
const CA: &str = "llm-gateway-ca";
pub const VOLUMES: [&str; 2] = [TOKEN, CA];
const TOKEN_FOLDER: &str = "/var/run/llm-gateway/token";
const CA_FOLDER: &str = "/var/run/llm-gateway/ca";
/// The kubelet renews the token when a fifth of this is left.
const TOKEN_SECONDS: i64 = 3600;

/// The application waits until the proxy has its configuration, since a call before would fail. The
/// kubelet starts the proxy again after so many seconds: after less it would wait ever longer between
/// two starts, also when the operator is back.
const PATIENCE: i32 = 600;

/// The sidecar that a pod wishes for.
pub fn container(wishes: &Wishes, settings: &Settings) -> Container {
    let mount = |volume: &str, folder: &str| VolumeMount {
        name: volume.to_owned(),
        mount_path: folder.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    Container {
        name: NAME.to_owned(),
        image: Some(wishes.image.clone()),
        image_pull_policy: settings.image_pull_policy.map(|policy| policy.as_str().to_owned()),
        command: Some(vec!["llm-proxy".to_owned()]),
        args: Some(arguments(wishes, settings)),
        env: Some(vec![EnvVar {
            name: "RUST_LOG".to_owned(),
            value: Some(wishes.log_level.clone()),
            ..EnvVar::default()
        }]),
        ports: Some(vec![ContainerPort {
            name: Some("llm-metrics".to_owned()),
            container_port: wishes.admin_port.into(),
            ..ContainerPort::default()
        }]),
        // What makes an init container a sidecar.
        restart_policy: Some("Always".to_owned()),
        startup_probe: Some(Probe { failure_threshold: Some(PATIENCE), ..probe("/readyz", wishes, 1) }),
        readiness_probe: Some(probe("/readyz", wishes, 5)),
        liveness_probe: Some(Probe { timeout_seconds: Some(5), ..probe("/livez", wishes, 10) }),
        resources: Some(wishes.resources.requirements()),
        security_context: Some(security(settings.run_as_user)),
        volume_mounts: Some(vec![mount(TOKEN, TOKEN_FOLDER), mount(CA, CA_FOLDER)]),
        ..Container::default()
    }
}

fn arguments(wishes: &Wishes, settings: &Settings) -> Vec<String> {
    let mut arguments = vec![
        "--sidecar".to_owned(),
        format!("--listen=127.0.0.1:{}", wishes.port),
        format!("--admin=[::]:{}", wishes.admin_port),
        format!("--operator={}", settings.operator),
        format!("--operator-ca={CA_FOLDER}/{BUNDLE}"),
        format!("--token-file={TOKEN_FOLDER}/token"),
    ];
    // Bodies that are held whole get half of the memory: one too many is told 503, where the kernel
    // would end the proxy with all that it is busy with.
    let limit = wishes.resources.limits.get("memory").and_then(|limit| quantity(limit).ok());
    arguments.extend(limit.map(|bytes| format!("--max-buffered-bytes={:.0}", bytes / 2.0)));
    arguments
}

fn probe(path: &str, wishes: &Wishes, period: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::Int(wishes.admin_port.into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        ..Probe::default()
    }
}

fn security(user: Option<i64>) -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), ..Capabilities::default() }),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        run_as_user: user,
        run_as_group: user,
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        ..SecurityContext::default()
    }
}

/// Its token, and the operator's authority.
pub fn volumes() -> [Volume; 2] {
    let token = ServiceAccountTokenProjection {
        audience: Some(AUDIENCE.to_owned()),
        expiration_seconds: Some(TOKEN_SECONDS),
        path: "token".to_owned(),
    };
    let sources =
        vec![VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() }];
    let item = KeyToPath { key: BUNDLE.to_owned(), path: BUNDLE.to_owned(), mode: None };
    [
        Volume {
            name: TOKEN.to_owned(),
            projected: Some(ProjectedVolumeSource {
                sources: Some(sources),
                ..ProjectedVolumeSource::default()
            }),
            ..Volume::default()
        },
        Volume {
            name: CA.to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: CONFIG_MAP.to_owned(),
                items: Some(vec![item]),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        },
    ]
}
