//! Writes initial inputs to `seeds/`: the parts of small stores. `cargo +nightly run --bin seeds`.

use std::fs;
use std::path::Path;

use atlas::{ArraySchema, Atlas, DType, StoreConfig, Value};

fn value(dtype: DType, i: i64) -> Option<Value> {
    Some(match dtype {
        _ if i % 5 == 0 => return None,
        DType::Bool => Value::Bool(i % 3 == 0),
        DType::F32 | DType::F64 => Value::F64(i as f64 / 4.0),
        DType::Timestamp => Value::Timestamp(i * 3_600_000_000_000),
        DType::String => Value::String(format!("name {}", i % 7)),
        DType::Binary => Value::Binary(vec![i as u8; 3]),
        DType::U8 | DType::U16 | DType::U32 | DType::U64 => Value::U64(i as u64 % 200),
        _ => Value::I64(i % 100 - 50),
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    for target in ["trailer", "index", "block", "encodings", "catalog", "manifest", "record"] {
        fs::create_dir_all(Path::new("seeds").join(target))?;
    }
    for count in [3usize, 1500] {
        let atlas = Atlas::create_url(&format!("memory:///{count}"), StoreConfig::default()).await?;
        for name in ["one", "two"] {
            let dataset = atlas.create_dataset(name).await?;
            dataset.set_attribute("title", "a title")?;
            for dtype in DType::ALL {
                let schema = ArraySchema::new(format!("v_{dtype}"), dtype, &["x"]);
                dataset.define(schema, &[count])?;
                let cells = dtype.array((0..count as i64).map(|i| value(dtype, i)));
                dataset.write_arrow(&format!("v_{dtype}"), &[0], &[count], cells).await?;
            }
        }
        atlas.flush().await?;
        for (number, dtype) in DType::ALL.into_iter().enumerate() {
            for (_, blocks, index) in atlas::internals::parts(&atlas, &format!("v_{dtype}")).await? {
                let end: u64 = blocks.iter().map(|(block, _)| block.len() as u64).sum();
                let seed = [&[number as u8], end.to_le_bytes().as_slice(), &index].concat();
                fs::write(format!("seeds/index/{dtype}-{count}"), seed)?;
                for (block, cells) in blocks {
                    let seed = [(cells as u16).to_le_bytes().as_slice(), &block].concat();
                    fs::write(format!("seeds/block/{dtype}-{count}"), seed)?;
                    let values = (cells as u16 * 4 / 5).to_le_bytes();
                    let seed = [&[block[5], number as u8], values.as_slice(), &block[32..]].concat();
                    fs::write(format!("seeds/encodings/{dtype}-{count}"), seed)?;
                }
            }
        }
        fs::write(format!("seeds/catalog/{count}"), atlas::internals::catalog(&atlas)?)?;
        fs::write(format!("seeds/manifest/{count}"), atlas::internals::manifest(&atlas)?)?;
        fs::write(format!("seeds/record/{count}"), atlas::internals::record(&atlas)?)?;
    }
    Ok(())
}
