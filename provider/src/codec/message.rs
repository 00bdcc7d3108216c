//! The protobuf messages of encoded scans and tables.

use datafusion::common::{Result, exec_err};
use datafusion_proto::protobuf::{PhysicalExprNode, PhysicalPlanNode, Schema};
use prost::{Message, Oneof};

/// The version of the messages. It changes whenever a message or its meaning changes.
pub const VERSION: u32 = 2;

/// Checks the version of a message of another process.
pub fn check_version(version: u32) -> Result<()> {
    if version != VERSION {
        return exec_err!(
            "the plan has messages of version {version} and this program knows version {VERSION}: both sides need the same version of Atlas"
        );
    }
    Ok(())
}

/// A scan that emits rows or aggregates.
#[derive(Clone, PartialEq, Message)]
pub struct ScanMessage {
    #[prost(uint32, tag = "1")]
    pub version: u32,
    #[prost(message, required, tag = "2")]
    pub table: TableMessage,
    #[prost(message, required, tag = "3")]
    pub request: RequestMessage,
    /// The ranges of tiles of each partition.
    #[prost(message, repeated, tag = "4")]
    pub partitions: Vec<PartitionMessage>,
    #[prost(uint64, optional, tag = "5")]
    pub limit: Option<u64>,
    #[prost(message, optional, tag = "6")]
    pub aggregate: Option<AggregateMessage>,
}

/// A table in a logical plan.
#[derive(Clone, PartialEq, Message)]
pub struct LogicalTableMessage {
    #[prost(uint32, tag = "1")]
    pub version: u32,
    #[prost(oneof = "ContentMessage", tags = "2, 3")]
    pub content: Option<ContentMessage>,
}

/// What a table in a logical plan shows.
#[derive(Clone, PartialEq, Oneof)]
pub enum ContentMessage {
    /// Values of a store.
    #[prost(message, tag = "2")]
    Values(TableMessage),
    /// The store itself.
    #[prost(message, tag = "3")]
    Metadata(MetadataMessage),
}

/// A generation of a store.
#[derive(Clone, PartialEq, Message)]
pub struct GenerationMessage {
    /// The address of the store, without credentials.
    #[prost(string, tag = "1")]
    pub address: String,
    #[prost(uint64, tag = "2")]
    pub number: u64,
    /// The time of the generation's commit. It differs if another store was created at the address.
    #[prost(int64, tag = "3")]
    pub committed: i64,
}

/// A table of the values of a store.
#[derive(Clone, PartialEq, Message)]
pub struct TableMessage {
    #[prost(message, required, tag = "1")]
    pub generation: GenerationMessage,
    /// The table's name in plans.
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(oneof = "KindMessage", tags = "3, 4")]
    pub kind: Option<KindMessage>,
    #[prost(bool, tag = "5")]
    pub nan_as_null: bool,
    #[prost(message, required, tag = "6")]
    pub schema: Schema,
}

/// The kind of the table.
#[derive(Clone, PartialEq, Oneof)]
pub enum KindMessage {
    #[prost(message, tag = "3")]
    Wide(WideMessage),
    /// The table of one variable.
    #[prost(string, tag = "4")]
    Variable(String),
}

/// A table about a store.
#[derive(Clone, PartialEq, Message)]
pub struct MetadataMessage {
    #[prost(message, required, tag = "1")]
    pub generation: GenerationMessage,
    /// The name of the table, such as `_datasets`.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The variable that the table is restricted to.
    #[prost(string, optional, tag = "3")]
    pub variable: Option<String>,
    #[prost(bool, tag = "4")]
    pub nan_as_null: bool,
    #[prost(message, required, tag = "5")]
    pub schema: Schema,
}

#[derive(Clone, PartialEq, Message)]
pub struct WideMessage {
    #[prost(string, repeated, tag = "1")]
    pub dims: Vec<String>,
    #[prost(bool, tag = "2")]
    pub attributes: bool,
}

/// What the scan is to do. All expressions are over the table's columns.
#[derive(Clone, PartialEq, Message)]
pub struct RequestMessage {
    #[prost(message, repeated, tag = "1")]
    pub projection: Vec<PhysicalExprNode>,
    /// The names of the projection's columns.
    #[prost(string, repeated, tag = "2")]
    pub names: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    pub predicates: Vec<PhysicalExprNode>,
    #[prost(uint64, tag = "4")]
    pub counted: u64,
    #[prost(message, repeated, tag = "5")]
    pub inexact: Vec<PhysicalExprNode>,
    #[prost(message, repeated, tag = "6")]
    pub dynamic: Vec<PhysicalExprNode>,
    #[prost(message, optional, tag = "7")]
    pub order: Option<OrderMessage>,
    #[prost(message, repeated, tag = "8")]
    pub options: Vec<OptionMessage>,
    #[prost(uint64, tag = "9")]
    pub batch_size: u64,
}

/// The order of which an operator above wants the first rows.
#[derive(Clone, PartialEq, Message)]
pub struct OrderMessage {
    #[prost(uint64, tag = "1")]
    pub column: u64,
    #[prost(bool, tag = "2")]
    pub descending: bool,
    #[prost(bool, tag = "3")]
    pub nulls_first: bool,
}

/// An option of the session, `atlas.<key>`.
#[derive(Clone, PartialEq, Message)]
pub struct OptionMessage {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct PartitionMessage {
    #[prost(message, repeated, tag = "1")]
    pub ranges: Vec<RangeMessage>,
}

/// A range of tiles.
#[derive(Clone, PartialEq, Message)]
pub struct RangeMessage {
    #[prost(uint64, tag = "1")]
    pub start: u64,
    #[prost(uint64, tag = "2")]
    pub end: u64,
}

/// The aggregation that the scan computes.
#[derive(Clone, PartialEq, Message)]
pub struct AggregateMessage {
    /// The partial aggregation, over an empty input with the same schema.
    #[prost(message, required, tag = "1")]
    pub partial: PhysicalPlanNode,
    /// The expressions over the table that yield the columns of its input.
    #[prost(message, repeated, tag = "2")]
    pub inputs: Vec<PhysicalExprNode>,
    /// The schema of the keys, and of the states or values.
    #[prost(message, required, tag = "3")]
    pub schema: Schema,
    /// True if the scan emits values instead of states.
    #[prost(bool, tag = "4")]
    pub finished: bool,
}
