"""The doors that files come in by: what valid files look like there, how they are made wrong, and who is asked."""

import damage
from doors.archives import archived, damaged_netcdf, damaged_zarr, netcdf, store
from doors.checkpoints import array, checkpoint, load_checkpoint, predict_checkpoint, read_array
from doors.door import Door
from doors.pictures import pictures, predict_picture, read_picture
from doors.tables import predict_table, read_table, table
from doors.volumes import predict_volume, read_volume, volumes

DOORS = (
    Door("gl.read, pictures", 700, read_picture),
    Door("predict, pictures", 500, predict_picture),
    Door("gl.read_table", 350, read_table),
    Door("predict, tables", 100, predict_table),
    Door("NetCDF: predict, forecast, gl.read, gl.read_film", 400, archived(damaged_netcdf)),
    Door("Zarr: predict, forecast, gl.read, gl.read_film", 250, archived(damaged_zarr)),
    Door("gl.read, volumes", 150, read_volume),
    Door("predict, volumes", 150, predict_volume),
    Door("gl.read, .npy", 100, read_array),
    Door("FieldModel.from_pretrained", 250, load_checkpoint),
    Door("predict, checkpoints", 50, predict_checkpoint),
)


def warm() -> None:
    """What is made once, before the cases."""
    pictures(), table(), volumes(), array(), store(2), store(3)
    [netcdf(kind) for kind in ("scipy", "h5netcdf", "packed")]
    [checkpoint(preset) for preset in ("photo", "sensors", "mamba-ginr", "lainr")]
    damage.bomb(), damage.bomb(b"lat,lon,v\n", b"1,2,3\n")
