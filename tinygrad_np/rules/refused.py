"""Functions that are not offered for Tensors, each with the reason and with what to write instead.

Most make plain arrays, and NumPy does not ask before it does: `Tensor.__array__` raises for them.
"""

import numpy as np

from tinygrad_np.rules.handlers import refuse

_SCALARS = {kind for kind in vars(np).values() if isinstance(kind, type) and issubclass(kind, np.generic)}

# New arrays

refuse(
    "it makes a plain array: write np.stack([...]) to join tensors, +t for another tensor with the same values",
    *(np.array, np.asarray, np.asanyarray, np.asarray_chkfinite, np.ascontiguousarray, np.asfortranarray, np.require),
)
refuse(
    "it makes a plain array: write t.astype(dtype), or t.item() for a number to log",
    *(_SCALARS - {np.float64, np.str_}),
)
refuse("it makes a plain array: write np.broadcast_to(t, shape) or np.full_like(tg.tensor(array), t)", np.full)
refuse("it makes a plain array: write start + step * np.arange(n)", np.arange)
refuse("it makes a plain array: write np.i0(beta * np.sqrt(1 - np.linspace(-1, 1, n) ** 2)) / np.i0(beta)", np.kaiser)
refuse("it reads bytes in memory: write t.data for the array that has them", np.frombuffer, np.from_dlpack)
refuse("it makes a plain array: write tg.tensor(...) for a tensor", np.ndarray, np.memmap, np.recarray)
refuse("it makes a matrix, whose * means another thing: write np.block([...]) and @", np.matrix, np.asmatrix, np.bmat)

# Loops over elements

refuse(
    "it calls a Python function element by element, on plain numbers: write it in NumPy functions, which take whole "
    "tensors",
    *(np.vectorize, np.frompyfunc),
)
refuse(
    "it loops over the memory of plain arrays: write a loop over t, over t.ravel(), or over np.ndindex(t.shape)",
    *(np.nditer, np.nested_iters, np.ndenumerate, np.flatiter, np.broadcast),
)

# Files, texts and bytes

refuse("a gradient does not fit into a file: write t.data", np.save, np.savez, np.savez_compressed, np.savetxt)
refuse(
    "it prints a plain number: write t.item()",
    *(np.format_float_positional, np.format_float_scientific),
)
refuse("it is about bytes in memory: write t.data.flags.fnc", np.isfortran)

# Dates

refuse(
    "a tensor holds numbers, and no dates",
    *(np.busday_count, np.busday_offset, np.is_busday, np.busdaycalendar),
    *(np.datetime_as_string, np.datetime_data),
)
