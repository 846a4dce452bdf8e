"""The free layer: one macrospin in its effective fields.  Fields in T, angles in rad, SI units."""
