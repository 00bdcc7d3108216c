//! Divides plans into stages for workers.

use std::sync::Arc;

use async_trait::async_trait;
use atlas_datafusion::Workers;
use atlas_datafusion::codec::AtlasCodec;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;
use datafusion_distributed::{DistributedExec, DistributedExt, SessionStateBuilderExt};
use url::Url;

use crate::channel::Channels;
use crate::leaves::{InOrder, Live, Routes, Tasks, share};
use crate::lost::Lost;

/// The workers that a query can run on.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub workers: Workers,
    pub channels: Channels,
    /// The session's settings.
    pub config: SessionConfig,
    /// The workers that the session's queries have lost recently.
    pub lost: Lost,
}

/// A plan in stages, and what it needs to run.
pub(crate) struct Distributed {
    pub plan: Arc<dyn ExecutionPlan>,
    pub config: SessionConfig,
    pub routes: Arc<Routes>,
}

impl Cluster {
    /// Divides a plan into stages for some of the workers; `None` if it has only one stage, which
    /// this process can run.
    pub async fn distribute(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        urls: &[Url],
    ) -> Result<Option<Distributed>> {
        // The engine runs a plan of single tasks in this process, so a single worker gets two.
        let (tasks, routes) = (urls.len().max(2), Arc::new(Routes::default()));
        let config = self
            .config
            .clone()
            .with_distributed_user_codec(AtlasCodec)
            .with_distributed_channel_resolver(self.channels.clone())
            .with_distributed_worker_resolver(Live(urls.to_vec()))
            .with_distributed_max_tasks_per_stage(tasks)?
            .with_distributed_desired_task_count_handler(Tasks { tasks, min_bytes: self.workers.min_bytes })
            .with_distributed_scale_up_leaf_node_handler(share)
            .with_distributed_route_tasks_handler(InOrder(Arc::clone(&routes)));
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_query_planner(Arc::new(Planned(plan)))
            .with_distributed_planner()
            .build();
        let nothing = LogicalPlanBuilder::empty(false).build()?;
        let plan = state.query_planner().create_physical_plan(&nothing, &state).await?;
        let config = state.config().clone();
        Ok(plan.is::<DistributedExec>().then_some(Distributed { plan, config, routes }))
    }
}

/// Returns a plan that already exists.
#[derive(Debug)]
struct Planned(Arc<dyn ExecutionPlan>);

#[async_trait]
impl QueryPlanner for Planned {
    async fn create_physical_plan(&self, _: &LogicalPlan, _: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::clone(&self.0))
    }
}
