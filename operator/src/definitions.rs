//! The kinds' definitions in a cluster, brought to those that this program was built with: what a chart's Job does before
//! an install or an upgrade. It is apart from the operator that runs, which has no right to change them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, ResourceExt as _, api::PostParams};

use crate::FIELD_MANAGER;

/// Creates the definitions that are not there, and replaces the others whole: whoever installed them owns their fields,
/// and an apply would leave what the new ones no longer have.
///
/// # Errors
/// Of the API server; when another has changed one at the same time, try again.
pub async fn apply(client: &Client) -> Result<(), kube::Error> {
    let api = Api::<CustomResourceDefinition>::all(client.clone());
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    for definition in llm_crds::definitions() {
        let name = definition.name_any();
        let done = match api.get_opt(&name).await? {
            None => {
                api.create(&params, &definition).await?;
                "created"
            }
            Some(mut there) => {
                there.spec = definition.spec;
                api.replace(&name, &params, &there).await?;
                "replaced"
            }
        };
        tracing::info!(definition = name, "{done}");
    }
    Ok(())
}
