//! Converts scans to messages and back.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::config::ExtensionOptions;
use datafusion::common::{Result, not_impl_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::TaskContext;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_expr::projection::ProjectionExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use datafusion_proto::protobuf::proto_error;

use super::deferred::{DeferredAggregate, DeferredSource};
use super::expressions::Expressions;
use super::message::{
    AggregateMessage, OptionMessage, OrderMessage, PartitionMessage, RangeMessage, RequestMessage,
    ScanMessage, TableMessage, VERSION, check_version,
};
use super::table::{message_of, table_message, table_of};
use crate::plan::aggregate_source::{AggregateSource, Planned};
use crate::plan::request::Request;
use crate::plan::source::{AtlasSource, tiles};
use crate::scan::order::BestFirst;
use crate::tables::options::AtlasOptions;

/// The message for a node that is a scan of a store.
pub fn encode(
    node: &dyn ExecutionPlan,
    codec: &dyn PhysicalExtensionCodec,
    converter: &dyn PhysicalProtoConverterExtension,
) -> Result<ScanMessage> {
    let expressions = Expressions { codec, converter };
    let other = || not_impl_err!("{} is not a scan of a store", node.name());
    let Some(scan) = node.downcast_ref::<DataSourceExec>() else { return other() };
    if let Some((config, source)) = scan.downcast_to_file_source::<AtlasSource>() {
        return message(config, table_message(source.table())?, source.request(), None, &expressions);
    }
    if let Some((config, source)) = scan.downcast_to_file_source::<AggregateSource>() {
        let aggregate = aggregate_message(
            source.planned(),
            config.file_source().table_schema().table_schema(),
            source.is_finished(),
            &expressions,
        )?;
        let scan = source.scan();
        return message(config, table_message(scan.table())?, scan.request(), Some(aggregate), &expressions);
    }
    let Some((config, source)) = scan.downcast_to_file_source::<DeferredSource>() else { return other() };
    let aggregate = source.aggregate.as_ref().map(|DeferredAggregate { planned, schema, finished }| {
        aggregate_message(planned, schema, *finished, &expressions)
    });
    let table = message_of(&source.table, &source.columns)?;
    message(config, table, &source.request, aggregate.transpose()?, &expressions)
}

fn message(
    config: &FileScanConfig,
    table: TableMessage,
    request: &Request,
    aggregate: Option<AggregateMessage>,
    expressions: &Expressions<'_>,
) -> Result<ScanMessage> {
    let partition = |group: &FileGroup| {
        let ranges = group.iter().filter_map(tiles);
        let ranges = ranges.map(|tiles| RangeMessage { start: tiles.start, end: tiles.end });
        PartitionMessage { ranges: ranges.collect() }
    };
    Ok(ScanMessage {
        version: VERSION,
        table,
        request: request_message(request, expressions)?,
        partitions: config.file_groups.iter().map(partition).collect(),
        limit: config.limit.map(|limit| limit as u64),
        aggregate,
    })
}

fn request_message(request: &Request, expressions: &Expressions<'_>) -> Result<RequestMessage> {
    let Request { projection, predicates, counted, inexact, dynamic, order, options, batch_size } = request;
    // The scan itself does not depend on the workers.
    let options = options.entries().into_iter().filter(|option| !option.key.starts_with("workers"));
    let options = options.filter_map(|option| Some(OptionMessage { key: option.key, value: option.value? }));
    Ok(RequestMessage {
        projection: expressions.encode(projection.iter().map(|shown| &shown.expr))?,
        names: projection.iter().map(|shown| shown.alias.clone()).collect(),
        predicates: expressions.encode(predicates)?,
        counted: *counted as u64,
        inexact: expressions.encode(inexact)?,
        dynamic: expressions.encode(dynamic)?,
        order: order.as_ref().map(|order| OrderMessage {
            column: order.column as u64,
            descending: order.descending,
            nulls_first: order.nulls_first,
        }),
        options: options.collect(),
        batch_size: *batch_size as u64,
    })
}

fn aggregate_message(
    planned: &Planned,
    schema: &Schema,
    finished: bool,
    expressions: &Expressions<'_>,
) -> Result<AggregateMessage> {
    let partial = Arc::clone(&planned.partial) as Arc<dyn ExecutionPlan>;
    Ok(AggregateMessage {
        partial: expressions.encode_plan(&partial)?,
        inputs: expressions.encode(&planned.inputs)?,
        schema: schema.try_into()?,
        finished,
    })
}

/// The scan of a message.
pub fn decode(
    scan: ScanMessage,
    ctx: &TaskContext,
    expressions: &Expressions<'_>,
) -> Result<Arc<dyn ExecutionPlan>> {
    check_version(scan.version)?;
    let columns: Schema = (&scan.table.schema).try_into()?;
    let request = decode_request(&scan.request, &columns, ctx, expressions)?;
    let aggregate = scan.aggregate.map(|aggregate| decode_aggregate(aggregate, &columns, ctx, expressions));
    let aggregate = aggregate.transpose()?;
    let columns = Arc::new(columns);
    let schema = aggregate.as_ref().map_or_else(|| Arc::clone(&columns), |it| Arc::clone(&it.schema));
    let table = table_of(scan.table)?;
    let name = format!("{}/atlas.json", table.generation.address);
    let source = DeferredSource {
        table,
        columns,
        schema: TableSchema::from(schema),
        request,
        aggregate,
        memory: Arc::clone(ctx.memory_pool()),
        metrics: ExecutionPlanMetricsSet::new(),
    };
    let file = |range: &RangeMessage| {
        let bound =
            |bound: u64| i64::try_from(bound).map_err(|_| proto_error("a range of tiles is too large"));
        Ok(PartitionedFile::new_with_range(name.clone(), 0, bound(range.start)?, bound(range.end)?))
    };
    let groups = scan
        .partitions
        .iter()
        .map(|partition| partition.ranges.iter().map(file).collect::<Result<Vec<_>>>().map(FileGroup::new));
    let groups = groups.collect::<Result<Vec<_>>>()?;
    let limit = scan.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    // A session knows this object store always. The scan has the store's own, and asks no other.
    let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
        .with_file_groups(groups)
        .with_limit(limit)
        .build();
    Ok(DataSourceExec::from_data_source(config))
}

fn decode_request(
    request: &RequestMessage,
    columns: &Schema,
    ctx: &TaskContext,
    expressions: &Expressions<'_>,
) -> Result<Request> {
    let decode = |exprs| expressions.decode(exprs, columns, ctx);
    if request.projection.len() != request.names.len() {
        return Err(proto_error("a scan has different numbers of columns and of names"));
    }
    let shown = decode(&request.projection)?.into_iter().zip(&request.names);
    let mut options = AtlasOptions::default();
    for OptionMessage { key, value } in &request.options {
        ExtensionOptions::set(&mut options, key, value)?;
    }
    let number = |number: u64| usize::try_from(number).map_err(|_| proto_error("a number is too large"));
    let order = request.order.as_ref().map(|order| {
        let (descending, nulls_first) = (order.descending, order.nulls_first);
        Ok::<_, datafusion::common::DataFusionError>(BestFirst {
            column: number(order.column)?,
            descending,
            nulls_first,
        })
    });
    Ok(Request {
        projection: shown.map(|(expr, name)| ProjectionExpr::new(expr, name)).collect(),
        predicates: decode(&request.predicates)?,
        counted: number(request.counted)?.min(request.predicates.len()),
        inexact: decode(&request.inexact)?,
        dynamic: decode(&request.dynamic)?,
        order: order.transpose()?,
        options,
        batch_size: number(request.batch_size)?,
    })
}

fn decode_aggregate(
    aggregate: AggregateMessage,
    columns: &Schema,
    ctx: &TaskContext,
    expressions: &Expressions<'_>,
) -> Result<DeferredAggregate> {
    let partial = expressions.decode_plan(&aggregate.partial, ctx)?;
    let inputs = expressions.decode(&aggregate.inputs, columns, ctx)?;
    let Some(partial) = partial.downcast_ref::<AggregateExec>() else {
        return Err(proto_error("the aggregation of a scan is another operator"));
    };
    let planned = Planned::new(partial, inputs)?;
    let schema: Schema = (&aggregate.schema).try_into()?;
    Ok(DeferredAggregate { planned, schema: Arc::new(schema), finished: aggregate.finished })
}
