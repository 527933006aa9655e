"""Functions that no array of numbers goes into, so that no gradient can come out.

NumPy does not dispatch them to Tensors, unless ``like=t`` asks for one. They are here so that the table is complete,
and says of every function in NumPy what a Tensor can expect of it.
"""

import numpy as np

from tinygrad_np.rules.handlers import unrelated

# Arrays made from shapes, from the length of a window, from what a file or a text says, or number by number.

unrelated(
    *(np.zeros, np.ones, np.empty, np.eye, np.identity, np.tri, np.indices, np.ndindex),
    *(np.diag_indices, np.tril_indices, np.triu_indices, np.mask_indices),
    *(np.bartlett, np.blackman, np.hamming, np.hanning),
    *(np.load, np.loadtxt, np.genfromtxt, np.fromfile, np.fromstring, np.fromregex, np.fromiter),
)

# Shapes, dtypes and texts. A Tensor has a shape and a dtype too, and np.float64(t) is another way to write float(t).

unrelated(
    *(np.broadcast_shapes, np.iterable, np.info),
    *(np.dtype, np.finfo, np.iinfo, np.isdtype, np.issubdtype, np.promote_types, np.mintypecode, np.typename),
    *(np.base_repr, np.binary_repr, np.float64, np.str_, np.ufunc, np.linalg.LinAlgError),
)

# Settings and the installation

unrelated(
    *(np.errstate, np.seterr, np.geterr, np.seterrcall, np.geterrcall, np.setbufsize, np.getbufsize),
    *(np.printoptions, np.set_printoptions, np.get_printoptions),
    *(np.get_include, np.show_config, np.show_runtime, np.test),
)

# The dtypes that a call of a ufunc would compute with

for _ufunc in dict.fromkeys(value for value in vars(np).values() if isinstance(value, np.ufunc)):
    unrelated(_ufunc.resolve_dtypes)
