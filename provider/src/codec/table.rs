//! Converts tables of stores to messages and back.

use arrow::datatypes::Schema;
use atlas::Snapshot;
use datafusion::common::{Result, not_impl_err};
use datafusion_proto::protobuf::proto_error;

use super::message::{GenerationMessage, KindMessage, TableMessage, WideMessage};
use super::open::{Generation, TableOf};
use crate::tables::columns::Table;
use crate::tables::kind::TableKind;

pub fn table_message(table: &Table) -> Result<TableMessage> {
    let of = TableOf {
        generation: Generation::of(&table.snapshot)?,
        name: table.name.clone(),
        kind: table.kind.clone(),
        nan_as_null: table.nan_as_null,
    };
    message_of(&of, &table.layout.schema)
}

/// The message for a table with these columns.
pub fn message_of(of: &TableOf, columns: &Schema) -> Result<TableMessage> {
    let kind = match of.kind.clone() {
        TableKind::Wide { dims, attributes } => KindMessage::Wide(WideMessage { dims, attributes }),
        TableKind::Variable(name) => KindMessage::Variable(name),
    };
    Ok(TableMessage {
        generation: of.generation.clone().into(),
        name: of.name.clone(),
        kind: Some(kind),
        nan_as_null: of.nan_as_null,
        schema: columns.try_into()?,
    })
}

/// The table of a message.
pub fn table_of(table: TableMessage) -> Result<TableOf> {
    let kind = match table.kind {
        Some(KindMessage::Wide(WideMessage { dims, attributes })) => TableKind::Wide { dims, attributes },
        Some(KindMessage::Variable(name)) => TableKind::Variable(name),
        None => return Err(proto_error("a table of a store has no kind")),
    };
    let generation = table.generation.into();
    Ok(TableOf { generation, name: table.name, kind, nan_as_null: table.nan_as_null })
}

impl Generation {
    /// The generation of a snapshot.
    pub fn of(snapshot: &Snapshot) -> Result<Self> {
        let storage = snapshot.storage();
        let Some(address) = storage.address() else {
            return not_impl_err!(
                "the store {storage} has no address by which another process could open it"
            );
        };
        let (number, committed) = (snapshot.root().generation(), snapshot.root().committed());
        Ok(Self { address: address.to_owned(), number, committed })
    }
}

impl From<Generation> for GenerationMessage {
    fn from(Generation { address, number, committed }: Generation) -> Self {
        Self { address, number, committed }
    }
}

impl From<GenerationMessage> for Generation {
    fn from(GenerationMessage { address, number, committed }: GenerationMessage) -> Self {
        Self { address, number, committed }
    }
}
