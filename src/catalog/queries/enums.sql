-- Labels of every enum in their own order.
SELECT enumtypid, enumlabel
FROM pg_enum
ORDER BY enumtypid, enumsortorder;
