class ArrayMethods:
    __slots__=()
